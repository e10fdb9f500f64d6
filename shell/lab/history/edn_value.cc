#include "lab/history/edn_value.h"

#include <fmt/format.h>

#include "lab/text/text.h"

namespace isolde::lab {
namespace {

constexpr std::size_t deepest = 64;

class Parser {
 public:
  explicit Parser(std::string_view line) : line_(line) {}

  std::variant<std::optional<EdnValue>, InputFault> run() {
    skip();
    if (at_ == line_.size()) return std::optional<EdnValue>();
    EdnValue value;
    if (!parse(value, 0)) return *fault_;
    skip();
    if (at_ < line_.size()) {
      fail(at_, "something follows the value; one map a line is expected");
      return *fault_;
    }
    return std::optional(std::move(value));
  }

 private:
  static bool is_blank(char c) { return c == ' ' || c == '\t' || c == ',' || c == '\r'; }
  static bool ends_word(char c) {
    return is_blank(c) || std::string_view("()[]{}\";").find(c) != std::string_view::npos;
  }

  void skip() {
    while (at_ < line_.size() && is_blank(line_[at_])) ++at_;
    if (at_ < line_.size() && line_[at_] == ';') at_ = line_.size();
  }

  bool fail(std::size_t at, std::string message) {
    if (!fault_) fault_ = InputFault{1, at + 1, std::move(message)};
    return false;
  }

  bool parse(EdnValue& value, std::size_t depth) {
    skip();
    value.column = at_ + 1;
    if (depth > deepest) return fail(at_, "nested too deep");
    if (at_ == line_.size()) return fail(at_, "the line ends where a value was expected");
    const char c = line_[at_];
    if (c == '{') return sequence(value, EdnValue::Kind::map, '}', depth);
    if (c == '[') return sequence(value, EdnValue::Kind::sequence, ']', depth);
    if (c == '(') return sequence(value, EdnValue::Kind::sequence, ')', depth);
    if (c == '"') return string(value);
    if (c == '#') return dispatch(value, depth);
    return word(value);
  }

  bool sequence(EdnValue& value, EdnValue::Kind kind, char closing, std::size_t depth) {
    const std::size_t begin = at_++;
    value.kind = kind;
    for (;;) {
      skip();
      if (at_ == line_.size()) {
        return fail(begin, fmt::format("this has no '{}' at its end", closing));
      }
      if (line_[at_] == closing) break;
      if (!parse(value.items.emplace_back(), depth + 1)) return false;
    }
    ++at_;
    if (kind == EdnValue::Kind::map && value.items.size() % 2 != 0) {
      return fail(begin, "a key of this map has no value");
    }
    return true;
  }

  // #{set}, or #tag value: tags are passed over.
  bool dispatch(EdnValue& value, std::size_t depth) {
    const std::size_t begin = at_++;
    if (at_ < line_.size() && line_[at_] == '{') {
      return sequence(value, EdnValue::Kind::sequence, '}', depth);
    }
    EdnValue tag;
    if (at_ == line_.size() || ends_word(line_[at_]) || !word(tag)) {
      return fail(begin, "# means nothing here");
    }
    return parse(value, depth + 1);
  }

  bool string(EdnValue& value) {
    const std::size_t begin = at_++;
    value.kind = EdnValue::Kind::string;
    for (; at_ < line_.size() && line_[at_] != '"'; ++at_) {
      if (line_[at_] == '\\') {
        if (++at_ == line_.size()) break;
        constexpr std::string_view letters = "ntr\"\\";
        constexpr std::string_view meanings = "\n\t\r\"\\";
        const std::size_t which = letters.find(line_[at_]);
        if (which == std::string_view::npos) return fail(at_ - 1, "unknown escape in a string");
        value.text.push_back(meanings[which]);
      } else {
        value.text.push_back(line_[at_]);
      }
    }
    if (at_ == line_.size()) return fail(begin, "this string does not end");
    ++at_;
    return true;
  }

  bool word(EdnValue& value) {
    const std::size_t begin = at_;
    while (at_ < line_.size() && !ends_word(line_[at_])) ++at_;
    value.text = std::string(line_.substr(begin, at_ - begin));
    if (value.text.empty()) {
      return fail(begin, fmt::format("'{}' closes nothing", line_[begin]));
    }
    if (!is_utf8(value.text) || printable(value.text) != value.text) {
      return fail(begin, "binary data");
    }
    if (value.text == "nil") {
      value.kind = EdnValue::Kind::nil;
    } else if (value.text[0] == ':') {
      value.kind = EdnValue::Kind::keyword;
      value.text.erase(0, 1);
    } else {
      value.kind = EdnValue::Kind::symbol;
    }
    return true;
  }

  std::string_view line_;
  std::size_t at_ = 0;
  std::optional<InputFault> fault_;
};

}  // namespace

bool EdnValue::is_integer() const { return kind == Kind::symbol && to_integer(text).has_value(); }

const EdnValue* EdnValue::find(std::string_view keyword) const {
  for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
    if (items[i].is(keyword)) return &items[i + 1];
  }
  return nullptr;
}

std::variant<std::optional<EdnValue>, InputFault> parse_edn(std::string_view line) {
  return Parser(line).run();
}

}  // namespace isolde::lab
