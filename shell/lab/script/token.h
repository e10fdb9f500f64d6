// Tokens of one line of a script, and a stream of them that remembers the first error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lab/text/source.h"

namespace isolde::lab {

inline bool is_blank(char c) noexcept { return c == ' ' || c == '\t'; }

// A word (bytes, of which some were quoted) or a symbol (; = != < <= > >= => | @ ( )).
struct Token {
  enum class Kind : std::uint8_t { word, symbol, end };

  Kind kind = Kind::end;
  std::string text;           // decoded
  std::vector<bool> literal;  // of each byte of text: it was quoted, so it means only itself
  bool has_quotes = false;
  Place place;

  // A word without any quotes: only such a one can be a keyword.
  bool is_bare() const noexcept { return kind == Kind::word && !has_quotes; }
  bool is_word(std::string_view word) const noexcept { return is_bare() && text == word; }
  bool is_symbol(std::string_view symbol) const noexcept {
    return kind == Kind::symbol && text == symbol;
  }
  // Where `what` first stands in text without quotes, from `from` on; npos if nowhere.
  std::size_t find_bare(std::string_view what, std::size_t from = 0) const;
  Token part(std::size_t from, std::size_t count = std::string::npos) const;
};

// Reads tokens one after the other. The first failure is kept; after it the stream is at its end,
// so that parsers need no check after each step, only one at the end.
class TokenStream {
 public:
  // The tokens of `line` from byte `from` on. A lexical error is the stream's failure.
  TokenStream(std::string_view line, std::size_t line_number, std::size_t from = 0);

  const Token& peek(std::size_t ahead = 0) const;
  Token next();
  bool at_end() const { return peek().kind == Token::Kind::end; }
  bool accept_word(std::string_view word);
  bool accept_symbol(std::string_view symbol);
  // A word, else a failure that says what was expected ("a key").
  Token expect_word(std::string_view what);

  // Remembers that the line refers to a step, for the check when all steps are known.
  struct StepUse {
    std::string step;
    Place place;
    bool value = true;  // refers to what it returned, not only to the step
  };
  void note_step_use(StepUse use) { step_uses_.push_back(std::move(use)); }
  const std::vector<StepUse>& step_uses() const noexcept { return step_uses_; }
  // The same for sessions.
  struct SessionUse {
    std::string session;
    Place place;
  };
  void note_session_use(SessionUse use) { session_uses_.push_back(std::move(use)); }
  const std::vector<SessionUse>& session_uses() const noexcept { return session_uses_; }

  void fail(const Place& place, std::string message);
  // At the next token: "expected a key, found ';'".
  void fail_expected(std::string_view what);
  // Adds `advice` to a failure of fail_expected(), which knows only what came next.
  void explain(std::string_view advice);
  const std::optional<ScriptError>& failure() const noexcept { return failure_; }

  // The text of the line between the token at `first` and the current one, trimmed.
  std::size_t position() const noexcept { return position_; }
  std::string text_since(std::size_t first) const;

 private:
  void read_word(std::size_t& at);
  bool read_quoted(std::size_t& at, Token& token);
  bool read_symbol(std::size_t& at);
  Place place_at(std::size_t from, std::size_t to) const;

  std::string_view line_;
  std::size_t line_number_;
  std::vector<Token> tokens_;
  Token end_;
  std::size_t position_ = 0;
  std::vector<StepUse> step_uses_;
  std::vector<SessionUse> session_uses_;
  std::optional<ScriptError> failure_;
  bool wants_advice_ = false;
};

// A name of a session, step, savepoint or anomaly: a letter, then letters, digits, _ (and - where
// `dashes`).
bool is_name(std::string_view text, bool dashes = false) noexcept;

}  // namespace isolde::lab
