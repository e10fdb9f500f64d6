# Of arrows_test.sh: arrows.awk HEADERS ARROWS INCLUDES, each a file.
#   HEADERS   the headers of the project, one a line
#   ARROWS    arrows.txt
#   INCLUDES  what is to be judged: "FILE LINE WHAT"
function room_of(file) {  # the longest that has a line
  while (file != "" && !(file in is_room)) {
    if (!sub(/\.[^.\/]*$/, "", file) && !sub(/\/[^\/]*$/, "", file)) return ""
  }
  return file
}
function allow(room, other,   further) {
  may[room, other] = 1
  for (further in is_room) if ((other, further) in may) may[room, further] = 1
}
function complain(text) { print "arrows_test: " text > "/dev/stderr"; bad = 1 }
function header_of(file, name,   folder, i) {  # the file that an include means, "" if not of the project
  folder = file; sub(/\/[^\/]*$/, "/", folder)
  split("|engine/include/|mvcc/include/|shell/|" folder, places, "|")
  for (i = 1; i in places; ++i) if ((places[i] name) in is_header) return places[i] name
  return ""
}

FILENAME == ARGV[1] { is_header[$0] = 1; next }
FILENAME == ARGV[2] {
  if ($0 ~ /^ *(#|$)/) next
  if ($1 == "circles") { for (i = 2; i <= NF; ++i) may_circle[$i] = 1; next }
  if ($1 ~ /^</) { outside[$1] = 1; for (i = 2; i <= NF; ++i) may_outside[$1, $i] = 1; next }
  for (i = 2; i <= NF; ++i) {
    if (!($i in is_room)) complain("arrows.txt: " $i " is not above " $1)
    allow($1, $i)
  }
  is_room[$1] = 1
  next
}
{
  ++seen
  from = room_of($1)
  if (from == "") { complain($1 " is in no room"); next }
  name = substr($3, 2, length($3) - 2)
  if (("<" name ">") in outside && !(("<" name ">", from) in may_outside)) {
    complain($1 ":" $2 ": " from " may not include " name)
  }
  header = header_of($1, name)
  if (header == "") {
    if ($3 ~ /^"/) complain($1 ":" $2 ": " name " is no file of the project")
    next
  }
  to = room_of(header)
  if (from != to) {
    ++arrows
    if (!((from, to) in may)) complain($1 ":" $2 ": " from " may not include " to " (" name ")")
    next
  }
  one = $1; sub(/\.[^.]*$/, "", one)
  other = header; sub(/\.[^.]*$/, "", other)
  if (one != other && !(from in may_circle)) edges[one, other] = 1
}
END {
  # What is left when pairs that nothing leads to, or that lead nowhere, are taken away, goes round.
  do {
    removed = 0
    split("", leads); split("", led_to)
    for (edge in edges) { split(edge, ends, SUBSEP); leads[ends[1]] = led_to[ends[2]] = 1 }
    for (edge in edges) {
      split(edge, ends, SUBSEP)
      if (!(ends[1] in led_to) || !(ends[2] in leads)) { delete edges[edge]; removed = 1 }
    }
  } while (removed)
  for (edge in edges) { split(edge, ends, SUBSEP); complain("in a circle: " ends[1] " includes " ends[2]) }
  if (seen == 0 || arrows == 0) complain("nothing was looked at")
  print seen " includes, " arrows " between rooms"
  exit bad
}
