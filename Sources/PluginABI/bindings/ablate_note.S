/* plugin.json inside the library, as an ELF note that a host reads without running any of the library's code.
 * It survives strip, since it lies in a segment (PT_NOTE). Any language: assemble it where plugin.json is in the include
 * path, and link the object in.
 *
 *     cc -c -I FOLDER_OF_PLUGIN_JSON -o note.o ablate_note.S
 *     cc -shared -o x.so x.c note.o        swiftc -emit-library -o x.so x.swift note.o
 *     rustc --crate-type cdylib -C link-arg=note.o -o x.so x.rs
 */
        .section .note.ablate, "a", %note
        .balign 4
        .long 2f - 1f       /* bytes of the owner's name */
        .long 4f - 3f       /* bytes of plugin.json */
        .long 0x41626c74    /* the type: "Ablt" */
1:      .asciz "Ablate"
2:      .balign 4
3:      .incbin "plugin.json"
4:      .balign 4

        .section .note.GNU-stack, "", %progbits
