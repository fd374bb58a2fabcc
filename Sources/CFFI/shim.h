#include <ffi.h>
/* The type descriptors are macros or extern structs whose addresses Swift cannot take; the default ABI is an enum macro. */
static inline ffi_abi cffi_default_abi(void) { return FFI_DEFAULT_ABI; }
static inline ffi_type *cffi_pointer(void) { return &ffi_type_pointer; }
static inline ffi_type *cffi_sint32(void) { return &ffi_type_sint32; }
static inline ffi_type *cffi_sint64(void) { return &ffi_type_sint64; }
static inline ffi_type *cffi_float(void) { return &ffi_type_float; }
static inline ffi_type *cffi_double(void) { return &ffi_type_double; }
