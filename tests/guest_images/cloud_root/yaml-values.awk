# Writes each scalar of a YAML document to a file of the directory "out", named by its path: write_files.0.path, runcmd.1.2.
#
# It reads what pragmaspec's writer produces: block style with two columns per level, "- " for items, and scalars that are plain,
# in double quotes, or a block after | or |-. Keys that are not plain words are left out: their path is "-".

function write(path, text, file) {
    if (path == "" || path ~ /^-/) return
    file = out "/" path
    printf "%s", text >file
    close(file)
}

# The text of a scalar in double quotes, without them; a plain scalar unchanged.
function scalar(text, result, at, kind) {
    if (substr(text, 1, 1) != "\"") return text
    text = substr(text, 2, length(text) - 2)
    result = ""
    while ((at = index(text, "\\")) > 0) {
        result = result substr(text, 1, at - 1)
        kind = substr(text, at + 1, 1)
        text = substr(text, at + 2)
        if (kind == "u") { result = result utf8(hex(substr(text, 1, 4))); text = substr(text, 5) }
        else if (kind == "U") { result = result utf8(hex(substr(text, 1, 8))); text = substr(text, 9) }
        else result = result (kind in short ? short[kind] : kind)
    }
    return result text
}

function hex(digits, number, i) {
    number = 0
    for (i = 1; i <= length(digits); i++) number = number * 16 + index("0123456789abcdef", tolower(substr(digits, i, 1))) - 1
    return number
}

# Characters as bytes: this awk has no locale.
function utf8(code) {
    if (code < 128) return sprintf("%c", code)
    if (code < 2048) return sprintf("%c%c", 192 + int(code / 64), 128 + code % 64)
    if (code < 65536) return sprintf("%c%c%c", 224 + int(code / 4096), 128 + int(code / 64) % 64, 128 + code % 64)
    return sprintf("%c%c%c%c", 240 + int(code / 262144), 128 + int(code / 4096) % 64, 128 + int(code / 64) % 64, 128 + code % 64)
}

# A value that begins on this line. Its children, if any, begin in the column "column".
function value(path, text, column) {
    if (text == "") { owner[column] = path; item[column] = -1 }
    else if (text == "|" || text == "|-") { in_block = 1; block_path = path; block_text = ""; blank = ""; margin = -1; chomp = text == "|-" }
    else if (text != "[]" && text != "{}") write(path, scalar(text))
}

function end_block() {
    if (in_block) write(block_path, block_text (chomp ? "" : "\n"))
    in_block = 0
}

BEGIN { short["n"] = "\n"; short["t"] = "\t"; short["r"] = "\r"; owner[0] = ""; item[0] = -1 }

in_block && $0 == "" { blank = blank "\n"; next }
in_block {
    match($0, /^ */)
    if (margin < 0 && RLENGTH > level) margin = RLENGTH
    if (margin >= 0 && RLENGTH >= margin) {
        block_text = block_text (block_text == "" ? "" : "\n") blank substr($0, margin + 1)
        blank = ""
        next
    }
    end_block()
}
/^#/ || /^$/ { next }
{
    match($0, /^ */)
    column = RLENGTH
    text = substr($0, column + 1)
    path = owner[column]
    while (text ~ /^- /) {
        path = owner[column] "." (++item[column])
        text = substr(text, 3)
        column += 2
        owner[column] = path
        item[column] = -1
    }
    level = column - 2
    if (match(text, /^[A-Za-z\/][A-Za-z0-9\/_.@-]*:( |$)/)) key = substr(text, 1, RLENGTH)
    else if (match(text, /^"([^"\\]|\\.)*":( |$)/) || match(text, /^[?:]( |$)/)) key = "-"
    else { value(path, text, column); next }

    rest = substr(text, RLENGTH + 1)
    level = column
    sub(/: ?$/, "", key)
    if (key !~ /^[A-Za-z0-9_]+$/) path = "-"
    else path = owner[column] == "" ? key : owner[column] "." key
    value(path, rest, column + 2)
}
END { end_block() }
