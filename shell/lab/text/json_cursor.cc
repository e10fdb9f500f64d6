#include "lab/text/json_cursor.h"

#include <fmt/format.h>

#include "lab/text/text.h"

namespace isolde::lab {
namespace {

void append_utf8(std::string& text, std::uint32_t code) {
  const auto tail = [&](unsigned shift) {
    text.push_back(static_cast<char>(0x80 | ((code >> shift) & 0x3f)));
  };
  if (code < 0x80) {
    text.push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    text.push_back(static_cast<char>(0xc0 | code >> 6));
    tail(0);
  } else if (code < 0x10000) {
    text.push_back(static_cast<char>(0xe0 | code >> 12));
    tail(6);
    tail(0);
  } else {
    text.push_back(static_cast<char>(0xf0 | code >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

std::string shown(char character) {
  const auto byte = static_cast<unsigned char>(character);
  if (byte < 0x20 || byte >= 0x7f) return fmt::format("byte \\x{:02x}", byte);
  return fmt::format("'{}'", character);
}

}  // namespace

char JsonCursor::peek() {
  while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\r')) {
    ++at_;
  }
  return at_ < text_.size() ? text_[at_] : '\0';
}

std::size_t JsonCursor::column() {
  peek();
  return at_ + 1;
}

bool JsonCursor::fail(std::size_t column, std::string message) {
  if (!fault_) fault_ = InputFault{1, column, std::move(message)};
  return false;
}

bool JsonCursor::take(char wanted) {
  if (fault_) return false;
  const char found = peek();
  if (at_ < text_.size() && found == wanted) {
    ++at_;
    return true;
  }
  if (at_ == text_.size()) {
    return fail(at_ + 1, fmt::format("the line ends where {} was expected", shown(wanted)));
  }
  return fail(at_ + 1, fmt::format("expected {}, found {}", shown(wanted), shown(found)));
}

bool JsonCursor::open(char bracket) {
  first_ = true;
  return take(bracket);
}

// Steps over a comma; false at the end of what was opened, or on a fault.
bool JsonCursor::next(char closing) {
  if (fault_) return false;
  if (peek() == closing && at_ < text_.size()) {
    ++at_;
    first_ = false;
    return false;
  }
  if (!first_ && !take(',')) return false;
  first_ = false;
  return true;
}

bool JsonCursor::next_element() { return next(']'); }

bool JsonCursor::next_field(std::string_view& name) {
  if (!next('}')) return false;
  name_column_ = column();
  return string(name) && take(':');
}

bool JsonCursor::string(std::string_view& value) {
  if (!take('"')) return false;
  const std::size_t begin = at_;
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == '"') {
      value = text_.substr(begin, at_ - begin);
      ++at_;
      return true;
    }
    if (c == '\\' || static_cast<unsigned char>(c) < 0x20 || (c & 0x80) != 0) break;
    ++at_;
  }
  scratch_.assign(text_.substr(begin, at_ - begin));
  while (at_ < text_.size() && text_[at_] != '"') {
    const char c = text_[at_];
    if (static_cast<unsigned char>(c) < 0x20) {
      return fail(at_ + 1, "a control character in a string; write it as \\u00NN");
    }
    if (c == '\\') {
      if (!escape()) return false;
      continue;
    }
    const std::size_t length = utf8_length(text_.substr(at_));
    if (length == 0) {
      return fail(at_ + 1, R"(not UTF-8; write bytes as {"hex": "..."})");
    }
    scratch_.append(text_.substr(at_, length));
    at_ += length;
  }
  if (at_ == text_.size()) return fail(begin, "this string does not end");
  ++at_;
  value = scratch_;
  return true;
}

bool JsonCursor::escape() {
  const std::size_t begin = at_++;
  if (at_ == text_.size()) return fail(begin + 1, "this string does not end");
  constexpr std::string_view letters = "\"\\/bfnrt";
  constexpr std::string_view meanings = "\"\\/\b\f\n\r\t";
  const char letter = text_[at_++];
  if (letter == 'u') return unicode();
  const std::size_t which = letters.find(letter);
  if (which == std::string_view::npos) {
    return fail(begin + 1, fmt::format("\\{} means nothing in a string", printable({&letter, 1})));
  }
  scratch_.push_back(meanings[which]);
  return true;
}

std::optional<std::uint32_t> JsonCursor::four_digits() {
  std::uint32_t code = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = at_ < text_.size() ? text_[at_] : '\0';
    const bool digit = c >= '0' && c <= '9';
    const char lower = static_cast<char>(c | 0x20);
    if (!digit && (lower < 'a' || lower > 'f')) return std::nullopt;
    code = code * 16 + static_cast<std::uint32_t>(digit ? c - '0' : lower - 'a' + 10);
    ++at_;
  }
  return code;
}

bool JsonCursor::unicode() {
  const std::size_t begin = at_ - 1;
  auto code = four_digits();
  if (code && *code >= 0xd800 && *code < 0xdc00 && text_.substr(at_, 2) == "\\u") {
    at_ += 2;
    const auto low = four_digits();
    if (!low || *low < 0xdc00 || *low >= 0xe000) return fail(begin, "half a surrogate pair");
    code = 0x10000 + ((*code - 0xd800) << 10) + (*low - 0xdc00);
  }
  if (!code) return fail(begin, "\\u needs four hexadecimal digits");
  if (*code >= 0xd800 && *code < 0xe000) return fail(begin, "half a surrogate pair");
  append_utf8(scratch_, *code);
  return true;
}

bool JsonCursor::number(std::uint64_t& value) {
  if (fault_) return false;
  const std::size_t begin = column();
  value = 0;
  bool any = false;
  for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_, any = true) {
    const auto digit = static_cast<std::uint64_t>(text_[at_] - '0');
    if (__builtin_mul_overflow(value, std::uint64_t{10}, &value) ||
        __builtin_add_overflow(value, digit, &value)) {
      return fail(begin, "this number is too large");
    }
  }
  const char after = at_ < text_.size() ? text_[at_] : ',';
  if (!any || after == '.' || after == 'e' || after == 'E') {
    return fail(begin, "expected a whole number, 0 or more");
  }
  return true;
}

bool JsonCursor::boolean(bool& value) {
  if (fault_) return false;
  const std::size_t begin = column();
  for (const bool candidate : {true, false}) {
    const std::string_view word = candidate ? "true" : "false";
    if (text_.substr(at_, word.size()) != word) continue;
    at_ += word.size();
    value = candidate;
    return true;
  }
  return fail(begin, "expected true or false");
}

bool JsonCursor::end() {
  if (fault_) return false;
  peek();
  return at_ == text_.size() || fail(at_ + 1, "something follows the end of the object");
}

}  // namespace isolde::lab
