#!/bin/sh
# Takes the debug information out of the built library: preload/strip.sh LIBRARY
#
# It goes to LIBRARY.debug, beside it. The library keeps what gdb has to know to call it (state.s), and the
# other file's name. A library that has been stripped is left alone.
set -eu

source=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
place=$(CDPATH='' cd -- "$(dirname -- "$1")" && pwd)
name=$(basename -- "$1")
library=$place/$name
folder=$(mktemp -d "$library.XXXXXX")
trap 'rm -rf "$folder"' EXIT
# Somebody else may be doing the same.
cp "$library" "$folder/whole"
cd "$folder"
if ! objdump -h whole | grep -q '\.debug_line'; then
    exit 0
fi

# The line of the function in the table of symbols: address, size, type, name.
function=$(nm -D -S --defined-only whole | grep ' sleeper_agent_state$')
address=${function%% *}
size=${function#* }
size=${size%% *}
cp "$source/state.s" .
cc -c -Wa,--defsym,ADDRESS=0x"$address",--defsym,SIZE=0x"$size" state.s
for section in abbrev info; do
    objcopy -O binary --only-section=.debug_$section --set-section-flags .debug_$section=alloc \
        state.o $section
done
# Under its final name, which the library repeats.
objcopy --only-keep-debug whole "$name.debug"
objcopy --strip-all whole bare
objcopy --add-section .debug_abbrev=abbrev --add-section .debug_info=info \
    --add-gnu-debuglink="$name.debug" bare "$name"
# Whatever the umask: other users run programs under it.
chmod 644 "$name.debug"
chmod 755 "$name"
mv -f "$name.debug" "$name" ..
