#!/bin/sh
# Print an apt source for Debian's release SUITE, derived from the sources this machine already uses:
#   deploy/sources.sh trixie
# One line of the classic form, `deb [signed-by=...] URI SUITE main`. So neither script nor image names a mirror.
set -eu
suite=$1
. /etc/os-release
own=${VERSION_CODENAME:?deploy/sources.sh: not a Debian release}

from_deb822() {
  cat /etc/apt/sources.list.d/*.sources 2>/dev/null | awk -v own="$own" '
    BEGIN { RS = ""; FS = "\n" }
    {
      uri = ""; suites = ""; key = ""; types = ""; enabled = "yes"
      for (i = 1; i <= NF; i++) {
        name = $i; sub(/:.*/, "", name); value = $i; sub(/^[^:]*:[ \t]*/, "", value)
        if (name == "URIs") { split(value, all, /[ \t]+/); uri = all[1] }
        if (name == "Suites") suites = " " value " "
        if (name == "Signed-By") key = value
        if (name == "Types") types = " " value " "
        if (name == "Enabled") enabled = value
      }
      if (enabled != "no" && index(types, " deb ") && index(suites, " " own " ")) print uri "|" key
    }'
}

from_list() {
  cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | awk -v own="$own" '
    $1 == "deb" {
      key = ""; at = 2
      if ($2 ~ /^\[/) {
        while ($at !~ /\]$/) at++
        if (match($0, /signed-by=[^] ]+/)) key = substr($0, RSTART + 10, RLENGTH - 10)
        at++
      }
      if ($(at + 1) == own) print $at "|" key
    }'
}

found=$( (from_deb822; from_list) | head -n 1)
if [ -z "$found" ]; then
  echo "deploy/sources.sh: no apt source of this machine offers $own" >&2
  exit 3
fi
uri=${found%%|*}
key=${found#*|}
echo "deb ${key:+[signed-by=$key] }$uri $suite main"
