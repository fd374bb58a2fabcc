/* Calls a Swift function that reads beyond the end of an array; swift-trap.swift is linked to it. */
#include <stdint.h>
int64_t swift_trap(int64_t index);
#define ON_EVENT x[0] = (float)swift_trap(7);
#include "bad.h"
