// An exception that nobody catches.
#include <stdexcept>
[[noreturn]] static void fail() { throw std::runtime_error("out of ideas"); }
#define ON_EVENT fail();
#include "bad.h"
