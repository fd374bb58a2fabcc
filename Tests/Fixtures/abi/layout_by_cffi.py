"""The layout of ablate_plugin.h as cffi sees it, in the lines of ablate_plugin.layout; then a plugin's id through it.

Usage: layout_by_cffi.py ablate_plugin.h plugin.so
"""
import re
import sys

import cffi

text = re.sub(r"/\*.*?\*/", "", open(sys.argv[1]).read(), flags=re.S)
constants = re.findall(r"#define (ABLATE_\w+) \(?(-?\d+)u?\)?\s*$", text, flags=re.M)
code = re.sub(r"^#.*$|^extern \"C\" \{$|ABLATE_EXPORT", "", text, flags=re.M)
# What is left of the two conditional lines for C++: one brace that closes nothing.
code = re.sub(r"\n\}\s*$", "\n", code.rstrip())
ffi = cffi.FFI()
ffi.cdef(code)
for name, value in constants:
    print("const", name, value)
for name in re.findall(r"typedef struct (\w+) \{", code):
    print("struct", name, ffi.sizeof(name))
    for field, kind in ffi.typeof(name).fields:
        print(f"  {kind.offset} {ffi.sizeof(kind.type)} {field}")
error = ffi.new("ablate_error *", {"struct_size": ffi.sizeof("ablate_error")})
library = ffi.dlopen(sys.argv[2]).ablate_plugin_entry_v1(0, error)
print("plugin", ffi.string(library.plugins[0].id).decode())
