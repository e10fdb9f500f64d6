#include "lab/text/text.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "isolde/error.h"

namespace isolde::lab {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

struct CodePoint {
  std::uint32_t value = 0;
  std::size_t length = 0;  // 0: not valid
};

bool is_continuation(char c) noexcept { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

CodePoint decode(std::string_view text) noexcept {
  if (text.empty()) return {};
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return {lead, 1};
  std::size_t length = 0;
  std::uint32_t value = 0;
  std::uint32_t least = 0;
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2, value = lead & 0x1fu, least = 0x80;
  } else if ((lead & 0xf0) == 0xe0) {
    length = 3, value = lead & 0x0fu, least = 0x800;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4, value = lead & 0x07u, least = 0x10000;
  }
  if (length == 0 || text.size() < length) return {};
  for (std::size_t i = 1; i < length; ++i) {
    if (!is_continuation(text[i])) return {};
    value = (value << 6) | (static_cast<unsigned char>(text[i]) & 0x3fu);
  }
  // Overlong forms, surrogates and what lies beyond Unicode are not UTF-8.
  if (value < least || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return {};
  return {value, length};
}

struct Interval {
  std::uint32_t first;
  std::uint32_t last;
};

constexpr std::array wide_intervals{
    Interval{0x1100, 0x115f},   Interval{0x231a, 0x231b},   Interval{0x2329, 0x232a},
    Interval{0x23e9, 0x23ec},   Interval{0x2e80, 0x303e},   Interval{0x3041, 0xa4cf},
    Interval{0xa960, 0xa97c},   Interval{0xac00, 0xd7a3},   Interval{0xf900, 0xfaff},
    Interval{0xfe30, 0xfe6f},   Interval{0xff00, 0xff60},   Interval{0xffe0, 0xffe6},
    Interval{0x1f300, 0x1f64f}, Interval{0x1f680, 0x1f6ff}, Interval{0x1f900, 0x1f9ff},
    Interval{0x20000, 0x3fffd},
};
constexpr std::array narrowless_intervals{
    Interval{0x0300, 0x036f}, Interval{0x0483, 0x0489}, Interval{0x0591, 0x05bd},
    Interval{0x064b, 0x065f}, Interval{0x1ab0, 0x1aff}, Interval{0x1dc0, 0x1dff},
    Interval{0x200b, 0x200f}, Interval{0x20d0, 0x20ff}, Interval{0xfe00, 0xfe0f},
    Interval{0xfe20, 0xfe2f},
};

template <typename Intervals>
bool within(const Intervals& intervals, std::uint32_t value) noexcept {
  return std::any_of(intervals.begin(), intervals.end(), [value](const Interval& interval) {
    return value >= interval.first && value <= interval.last;
  });
}

std::size_t width_of(std::uint32_t value) noexcept {
  if (within(narrowless_intervals, value)) return 0;
  return within(wide_intervals, value) ? 2 : 1;
}

bool is_control(std::uint32_t value) noexcept {
  return value < 0x20 || (value >= 0x7f && value < 0xa0) || value == 0x2028 || value == 0x2029 ||
         (value >= 0x202a && value <= 0x202e) || (value >= 0x2066 && value <= 0x2069);
}

bool needs_quotes(std::string_view bytes) {
  constexpr std::string_view special = " \t\"\\;=<>|()#@$*!";
  if (bytes.empty() || bytes.find_first_of(special) != std::string_view::npos) return true;
  if (bytes.find("..") != std::string_view::npos) return true;
  constexpr std::array<std::string_view, 8> keywords{"ok",      "absent",   "empty",   "skipped",
                                                     "blocked", "deferred", "exactly", "in"};
  if (std::find(keywords.begin(), keywords.end(), bytes) != keywords.end()) return true;
  for (int code = 0; code <= static_cast<int>(ErrorCode::format_unsupported); ++code) {
    if (bytes == name(static_cast<ErrorCode>(code))) return true;
  }
  return false;
}

}  // namespace

std::size_t utf8_length(std::string_view text) noexcept { return decode(text).length; }

bool is_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    const std::size_t length = decode(text).length;
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::size_t display_width(std::string_view text) noexcept {
  std::size_t width = 0;
  while (!text.empty()) {
    const CodePoint point = decode(text);
    width += point.length == 0 ? 1 : width_of(point.value);
    text.remove_prefix(std::max<std::size_t>(1, point.length));
  }
  return width;
}

std::string printable(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    const CodePoint point = decode(text);
    if (text[0] == '\t') {
      shown += ' ';
    } else if (point.length == 0 || is_control(point.value)) {
      shown += "\xef\xbf\xbd";  // U+FFFD, the replacement character
    } else {
      shown += text.substr(0, point.length);
    }
    text.remove_prefix(std::max<std::size_t>(1, point.length));
  }
  return shown;
}

std::string spelled(std::string_view bytes) {
  bool quote = needs_quotes(bytes);
  std::string body;
  for (std::string_view rest = bytes; !rest.empty();) {
    const CodePoint point = decode(rest);
    const std::size_t length = std::max<std::size_t>(1, point.length);
    const char c = rest[0];
    if (c == '"' || c == '\\') {
      body += '\\';
      body += c;
    } else if (c == '\n' || c == '\t') {
      body += c == '\n' ? "\\n" : "\\t";
      quote = true;
    } else if (point.length == 0 || is_control(point.value)) {
      for (const char byte : rest.substr(0, length)) {
        body += "\\x";
        body += hex(std::string_view(&byte, 1));
      }
      quote = true;
    } else {
      body += rest.substr(0, length);
    }
    rest.remove_prefix(length);
  }
  return quote ? '"' + body + '"' : body;
}

std::string spelled_short(std::string_view bytes, std::size_t limit) {
  if (bytes.size() <= limit) return spelled(bytes);
  std::size_t cut = limit;
  while (cut > 0 && is_continuation(bytes[cut])) --cut;
  return spelled(bytes.substr(0, cut)) + "… (" + std::to_string(bytes.size()) + " bytes)";
}

std::string hex(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    text += hex_digits[static_cast<unsigned char>(c) >> 4];
    text += hex_digits[static_cast<unsigned char>(c) & 0xf];
  }
  return text;
}

std::optional<std::string> from_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    unsigned value = 0;
    const char* const end = text.data() + i + 2;
    const auto parsed = std::from_chars(text.data() + i, end, value, 16);
    if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
    bytes += static_cast<char>(value);
  }
  return bytes;
}

std::optional<std::int64_t> to_integer(std::string_view text) noexcept {
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return std::nullopt;
  }
  std::int64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<std::string> wrapped(std::string_view text, std::size_t width) {
  width = std::max<std::size_t>(width, 2);
  std::vector<std::string> lines;
  std::string line;
  std::size_t line_width = 0;
  std::size_t last_space = std::string::npos;
  const auto break_line = [&] {
    std::string rest;
    if (last_space != std::string::npos && last_space > 0) {
      rest = line.substr(last_space + 1);
      line.resize(last_space);
    }
    lines.push_back(line);
    line = rest;
    line_width = display_width(line);
    last_space = std::string::npos;
  };
  while (!text.empty()) {
    const std::size_t length = std::max<std::size_t>(1, utf8_length(text));
    const std::string_view next = text.substr(0, length);
    const std::size_t next_width = display_width(next);
    if (line_width + next_width > width) {
      if (next == " ") {  // the break falls exactly between two words
        lines.push_back(line);
        line.clear();
        line_width = 0;
        last_space = std::string::npos;
        text.remove_prefix(length);
        continue;
      }
      break_line();
    }
    if (next == " ") last_space = line.size();
    line += next;
    line_width += next_width;
    text.remove_prefix(length);
  }
  lines.push_back(line);
  return lines;
}

std::string padded(std::string_view text, std::size_t width) {
  const std::size_t used = display_width(text);
  return std::string(text) + std::string(width > used ? width - used : 0, ' ');
}

}  // namespace isolde::lab
