#!/bin/sh
# A program that speaks the runners' protocol; its logits are the first values of its input. A shell and coreutils are
# all that it needs. Words between @ are put in by speaking.py.

while read -r key value; do
    case $key in
        dvfl-mobile-options) ;;
        *) eval "$key=\$value" ;;
    esac
done <run.options

rm -f said
say() {
    line=$(printf "$@")
    printf '%s\n' "$line" >>said
    printf '%s\n' "$line"
}
sum() {
    set -- $(sha256sum "$1")
    echo "$1"
}
check() {
    [ "$(sum "$1")" = "$2" ] && return
    say '{"event":"error","code":"changed","message":"%s"}' "$1"
    exit 3
}
run() {
    say '{"event":"run","phase":"%s","index":%d,"start_ns":%s,"duration_ns":1000}' "$1" "$2" "$(date +%s%N)"
    sleep @PAUSE@
}
iterate() {
    index=0
    while [ $index -lt "$2" ]; do
        run "$1" $index
        index=$((index + 1))
    done
}

check "$model" "$model_sha256"
check "$input" "$input_sha256"
say '{"event":"device","protocol":@VERSION@,"runner":"a script","runtime":"none","version":"0","abi":"any",%s' \
    '"features":[],"cores":1}'
say '{"event":"load","load_ns":1,"threads":1,"delegate":null,"input":@INPUT@,%s' \
    '"output":{"shape":[1,@CLASSES@],"dtype":"float32"}}'
rows=1
if [ "$mode" = run ]; then
    rows=$clips runs=$clips warmup=0
    iterate clip "$runs"
else
    iterate warmup "$warmup"
    iterate timed "$runs"
fi
row=0
while [ $row -lt "$rows" ]; do
    dd if="$input" bs=@CLIP_BYTES@ skip=$row count=1 2>>"$log" | head -c $((4 * @CLASSES@))
    row=$((row + 1))
done >"$output"
say '{"event":"output","file":"%s","bytes":%d,"sha256":"%s","shape":[%d,@CLASSES@],"dtype":"float32"}' \
    "$output" $((4 * @CLASSES@ * rows)) "$(sum "$output")" "$rows"
say '{"event":"memory","peak_bytes":null}'
set -- $(wc -l <said)
say '{"event":"end","warmup":%d,"runs":%d,"clips":%d,"lines":%d,"lines_sha256":"%s"}' \
    "$warmup" "$runs" "$clips" "$1" "$(sum said)"
