#!/bin/sh
# Runs the kit on the phone that adb knows, and leaves kit-results.zip beside this file.
# Usage: ./run.sh [SERIAL]
set -u
cd "$(dirname "$0")" || exit 1
adb=${ADB:-adb}
folder=/data/local/tmp/dvfl-mobile-kit-@ID@
command -v "$adb" >/dev/null || { echo "adb isn't installed: see README.txt" >&2; exit 4; }
phone() {
    if [ -n "${serial:-}" ]; then "$adb" -s "$serial" "$@"; else "$adb" "$@"; fi
}
serial=${1:-}

rm -f kit-results kit-results.zip
echo "Copying the kit to the phone"
phone shell "rm -rf $folder; mkdir -p $folder" </dev/null || exit 6
phone push phone/. "$folder/" >/dev/null || { echo "The kit can't be copied to the phone." >&2; exit 6; }
echo "Running; leave the phone alone"
said=$(phone shell "sh $folder/device.sh" </dev/null | tee /dev/stderr | tail -n 1)
case $said in
    "kit: done"*) phone pull "$folder/kit-results" kit-results >/dev/null || said="the results can't be read" ;;
esac
phone shell "rm -rf $folder" </dev/null
case $said in
    "kit: done"*) ;;
    *) echo "The kit didn't run to its end: $said" >&2; exit 6 ;;
esac

# A zip with one file, stored as it is. gzip ends with its checksum and its size, just as a zip wants them.
name=kit-results
size=$(wc -c <$name)
number() {
    printf "$(printf '\\%03o\\%03o\\%03o\\%03o' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255)))"
}
facts() {
    printf '\012\000\000\000\000\000\000\000\041\000'
    gzip -c $name | tail -c 8
    number $((size))
    printf '\013\000\000\000'
}
{
    printf 'PK\003\004'
    facts
    printf $name
    cat $name
    printf 'PK\001\002\012\000'
    facts
    printf '\000\000\000\000\000\000'
    number 0
    number 0
    printf $name
    printf 'PK\005\006\000\000\000\000\001\000\001\000'
    number 57
    number $((30 + 11 + size))
    printf '\000\000'
} >kit-results.zip && rm -f kit-results
echo "Done. Please send back: $(pwd)/kit-results.zip"
