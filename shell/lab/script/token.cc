#include "lab/script/token.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "lab/text/text.h"

namespace isolde::lab {
namespace {

bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// The characters that end a bare word wherever they stand.
bool ends_word(std::string_view rest) noexcept {
  constexpr std::string_view always = " \t;=<>|()";
  return always.find(rest[0]) != std::string_view::npos || rest.starts_with("!=");
}

}  // namespace

bool is_name(std::string_view text, bool dashes) noexcept {
  if (text.empty() || !is_letter(text[0])) return false;
  return std::all_of(text.begin(), text.end(), [dashes](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || (dashes && c == '-');
  });
}

std::size_t Token::find_bare(std::string_view what, std::size_t from) const {
  for (std::size_t at = text.find(what, from); at != std::string::npos;
       at = text.find(what, at + 1)) {
    bool bare = true;
    for (std::size_t i = at; i < at + what.size(); ++i) bare = bare && !literal[i];
    if (bare) return at;
  }
  return std::string::npos;
}

Token Token::part(std::size_t from, std::size_t count) const {
  Token piece = *this;
  piece.text = text.substr(from, count);
  piece.literal.assign(literal.begin() + static_cast<std::ptrdiff_t>(from),
                       literal.begin() + static_cast<std::ptrdiff_t>(from + piece.text.size()));
  piece.has_quotes =
      std::find(piece.literal.begin(), piece.literal.end(), true) != piece.literal.end() ||
      (piece.text.empty() && has_quotes);
  return piece;
}

TokenStream::TokenStream(std::string_view line, std::size_t line_number, std::size_t from)
    : line_(line), line_number_(line_number) {
  std::size_t at = from;
  while (at < line_.size() && !failure_) {
    const char c = line_[at];
    if (is_blank(c)) {
      ++at;
    } else if (c == '#') {
      break;
    } else if (!read_symbol(at)) {
      read_word(at);
    }
  }
  end_.place = {line_number_, line_.size() + 1, 1};
  if (!tokens_.empty()) {
    const Place& last = tokens_.back().place;
    end_.place.column = last.column + last.length;
  }
}

Place TokenStream::place_at(std::size_t from, std::size_t to) const {
  return {line_number_, from + 1, std::max<std::size_t>(1, to - from)};
}

bool TokenStream::read_symbol(std::size_t& at) {
  constexpr std::array<std::string_view, 12> symbols{"=>", "!=", "<=", ">=", "=", "<",
                                                     ">",  ";",  "|",  "@",  "(", ")"};
  const std::string_view rest = line_.substr(at);
  for (const std::string_view symbol : symbols) {
    if (!rest.starts_with(symbol)) continue;
    Token token;
    token.kind = Token::Kind::symbol;
    token.text = symbol;
    token.place = place_at(at, at + symbol.size());
    tokens_.push_back(std::move(token));
    at += symbol.size();
    return true;
  }
  return false;
}

bool TokenStream::read_quoted(std::size_t& at, Token& token) {
  const std::size_t opening = at++;
  token.has_quotes = true;
  while (at < line_.size() && line_[at] != '"') {
    char c = line_[at];
    if (c == '\\') {
      const char kind = at + 1 < line_.size() ? line_[at + 1] : '\0';
      if (kind == 'n' || kind == 't' || kind == '"' || kind == '\\') {
        c = kind == 'n' ? '\n' : kind == 't' ? '\t' : kind;
        at += 2;
      } else if (const auto byte = from_hex(line_.substr(std::min(at + 2, line_.size()), 2));
                 kind == 'x' && byte && byte->size() == 1) {
        c = (*byte)[0];
        at += 4;
      } else {
        fail(place_at(at, at + 2), "unknown escape: in quotes write \\n \\t \\\" \\\\ or \\xNN");
        return false;
      }
    } else {
      const std::string_view rest = line_.substr(at);
      const std::size_t length = utf8_length(rest);
      if (length == 0 || (static_cast<unsigned char>(c) < 0x20 && c != '\t')) {
        fail(place_at(at, at + 1), fmt::format("this byte must be written \\x{}", hex({&c, 1})));
        return false;
      }
      token.text += rest.substr(0, length);
      token.literal.insert(token.literal.end(), length, true);
      at += length;
      continue;
    }
    token.text += c;
    token.literal.push_back(true);
  }
  if (at >= line_.size()) {
    fail(place_at(opening, opening + 1), "this quote is never closed on its line");
    return false;
  }
  ++at;
  return true;
}

void TokenStream::read_word(std::size_t& at) {
  const std::size_t start = at;
  Token token;
  token.kind = Token::Kind::word;
  while (at < line_.size() && !ends_word(line_.substr(at))) {
    const std::string_view rest = line_.substr(at);
    if (rest[0] == '"') {
      if (!read_quoted(at, token)) return;
      continue;
    }
    const std::size_t length = utf8_length(rest);
    if (length == 0 || static_cast<unsigned char>(rest[0]) < 0x20 || rest[0] == 0x7f) {
      fail(place_at(at, at + 1),
           fmt::format("byte \\x{} cannot stand here; write it in quotes", hex(rest.substr(0, 1))));
      return;
    }
    if (rest[0] == '\\') {
      fail(place_at(at, at + 1), "a backslash needs quotes: \"...\"");
      return;
    }
    token.text += rest.substr(0, length);
    token.literal.insert(token.literal.end(), length, false);
    at += length;
  }
  token.place = place_at(start, at);
  tokens_.push_back(std::move(token));
}

const Token& TokenStream::peek(std::size_t ahead) const {
  if (failure_ || position_ + ahead >= tokens_.size()) return end_;
  return tokens_[position_ + ahead];
}

Token TokenStream::next() {
  Token token = peek();
  if (token.kind != Token::Kind::end) ++position_;
  return token;
}

bool TokenStream::accept_word(std::string_view word) {
  if (!peek().is_word(word)) return false;
  ++position_;
  return true;
}

bool TokenStream::accept_symbol(std::string_view symbol) {
  if (!peek().is_symbol(symbol)) return false;
  ++position_;
  return true;
}

Token TokenStream::expect_word(std::string_view what) {
  if (peek().kind != Token::Kind::word) fail_expected(what);
  return next();
}

void TokenStream::fail(const Place& place, std::string message) {
  if (!failure_) failure_ = ScriptError{place, std::move(message)};
}

void TokenStream::fail_expected(std::string_view what) {
  if (failure_) return;
  wants_advice_ = true;
  const Token& found = peek();
  if (found.kind == Token::Kind::end) {
    fail(found.place, fmt::format("expected {}, but the line ends here", what));
  } else {
    fail(found.place, fmt::format("expected {}, found {}", what, spelled_short(found.text)));
  }
}

void TokenStream::explain(std::string_view advice) {
  if (!failure_ || !wants_advice_) return;
  failure_->message += fmt::format("; {}", advice);
  wants_advice_ = false;
}

std::string TokenStream::text_since(std::size_t first) const {
  if (first >= position_ || position_ > tokens_.size()) return {};
  const Place& begin = tokens_[first].place;
  const Place& last = tokens_[position_ - 1].place;
  return std::string(line_.substr(begin.column - 1, last.column - begin.column + last.length));
}

}  // namespace isolde::lab
