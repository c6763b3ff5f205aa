# What debuggers have to know of the library, as DWARF 4: `const char *sleeper_agent_state(void)`.
#
# Without it `printf "%s", sleeper_agent_state()` fails in gdb: it calls no function whose type it does not
# know. preload/strip.sh assembles it with the function's ADDRESS and SIZE, and puts it into the stripped
# library; all other debug information is in a file of its own.

    .section .debug_abbrev, "", @progbits
    .uleb128 1, 0x11                # a compilation unit
    .byte 1                         # with entries below it
    .uleb128 0x25, 0x08             # producer: string
    .uleb128 0x13, 0x0b             # language: one byte
    .uleb128 0x03, 0x08             # name: string
    .uleb128 0x11, 0x01             # low_pc: address
    .uleb128 0x12, 0x07             # high_pc: eight bytes
    .uleb128 0, 0
    .uleb128 2, 0x24                # a base type
    .byte 0
    .uleb128 0x03, 0x08             # name
    .uleb128 0x0b, 0x0b             # byte_size
    .uleb128 0x3e, 0x0b             # encoding
    .uleb128 0, 0
    .uleb128 3, 0x26                # const
    .byte 0
    .uleb128 0x49, 0x13             # type: offset in the unit
    .uleb128 0, 0
    .uleb128 4, 0x0f                # a pointer
    .byte 0
    .uleb128 0x0b, 0x0b             # byte_size
    .uleb128 0x49, 0x13             # type
    .uleb128 0, 0
    .uleb128 5, 0x2e                # a function
    .byte 0
    .uleb128 0x3f, 0x19             # external
    .uleb128 0x27, 0x19             # prototyped
    .uleb128 0x03, 0x08             # name
    .uleb128 0x49, 0x13             # type
    .uleb128 0x11, 0x01             # low_pc
    .uleb128 0x12, 0x07             # high_pc
    .uleb128 0, 0
    .uleb128 0

    .section .debug_info, "", @progbits
.Lunit:
    .4byte .Lend - .Lbegin
.Lbegin:
    .2byte 4                        # DWARF's version
    .4byte 0                        # where its abbreviations begin
    .byte 8                         # the size of an address
    .uleb128 1
    .asciz "sleeper agent"
    .byte 0x0c                      # C99
    .asciz "sleeper_agent.h"
    .8byte ADDRESS
    .8byte SIZE
.Lchar:
    .uleb128 2
    .asciz "char"
    .byte 1
    .byte 6                         # signed char
.Lconst:
    .uleb128 3
    .4byte .Lchar - .Lunit
.Lpointer:
    .uleb128 4
    .byte 8
    .4byte .Lconst - .Lunit
    .uleb128 5
    .asciz "sleeper_agent_state"
    .4byte .Lpointer - .Lunit
    .8byte ADDRESS
    .8byte SIZE
    .byte 0
.Lend:
