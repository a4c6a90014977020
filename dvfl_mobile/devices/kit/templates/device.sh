# What runs on the phone, in the folder that the kit was pushed to. It changes nothing outside of that folder.
cd "${0%/*}" || exit 1
umask 077
refuse() {
    echo "kit: $*"
    exit 1
}
names=
while read -r hash name; do names="$names $name"; done <SHA256SUMS
[ "$(sha256sum $names 2>&1)" = "$(cat SHA256SUMS)" ] || refuse "refused: a file of this kit was changed, or didn't arrive whole"
rm -rf work kit-results index now
mkdir work && cp bundle/* work/ && chmod 700 work/* || refuse "there isn't room for the kit on this phone"
unset LD_PRELOAD LD_LIBRARY_PATH

# put NAME FILE: add a file to the results, after a line of its name, size and hash.
put() {
    set -- "$1" "$2" $(wc -c <"$2") $(sha256sum <"$2")
    echo "$1 $3 $4" >>index
    { echo "$1 $3 $4"; cat "$2"; } >>kit-results
}
facts() {
@FACTS@
}
state() {
@STATE@
}

echo "dvfl-mobile-kit-results 1" >kit-results
: >index
put sums SHA256SUMS
date -u +%Y-%m-%dT%H:%M:%SZ >now
put when now
facts >now 2>/dev/null
put facts now
state >now 2>/dev/null
put state now
count=0 last= total=$(wc -l <starts.txt)
while read -r number program model input; do
    count=$((count + 1))
    echo "kit: run $count of $total"
    rm -f work/output.bin work/run.log
    [ "$model" = "$last" ] || cp "files/$model" work/model.bin
    last=$model
    cp "files/$input" work/input.bin && cp "starts/$number" work/run.options || refuse "there isn't room for the kit on this phone"
    (cd work && exec @STARTER@ "./$program" run.options) </dev/null >lines 2>/dev/null
    echo $? >now
    put "$number.options" work/run.options
    put "$number.lines" lines
    put "$number.status" now
    for name in output.bin run.log; do
        case $name in output.bin) part=output ;; *) part=log ;; esac
        [ ! -f "work/$name" ] || put "$number.$part" "work/$name"
    done
    state >now 2>/dev/null
    put "$number.state" now
done <starts.txt
set -- $(sha256sum <index)
echo "end $1" >>kit-results
echo "kit: done"
