// Reads one line of JSON value by value, and knows at which column it stands.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace isolde::lab {

// What is wrong with an input, and where; line and column count from 1, columns in bytes.
struct InputFault {
  std::size_t line = 1;
  std::size_t column = 1;
  std::string message;
};

// A reader for lines with few levels, whose shape is known beforehand: no tree is built, which
// makes a history of millions of lines readable in seconds, and every value has its column. Each
// method answers false after a fault, which fault() then holds.
class JsonCursor {
 public:
  explicit JsonCursor(std::string_view line) : text_(line) {}

  // Column of what comes next.
  std::size_t column();
  // The next character that is no blank; '\0' at the end.
  char peek();

  // { "name": value, ... }: after open('{') call next_field until it answers false; then check
  // fault().
  bool open(char bracket);
  bool next_field(std::string_view& name);
  // Where the name of the last field stood.
  std::size_t name_column() const noexcept { return name_column_; }
  bool next_element();
  // A view until the next call of string().
  bool string(std::string_view& value);
  bool number(std::uint64_t& value);
  bool boolean(bool& value);
  // Nothing may follow but blanks.
  bool end();

  bool fail(std::size_t column, std::string message);
  bool has_failed() const noexcept { return fault_.has_value(); }
  const std::optional<InputFault>& fault() const noexcept { return fault_; }

 private:
  bool escape();
  bool unicode();
  std::optional<std::uint32_t> four_digits();
  bool take(char wanted);
  bool next(char closing);

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t name_column_ = 1;
  bool first_ = false;  // nothing has been read yet of what was opened
  std::string scratch_;
  std::optional<InputFault> fault_;
};

}  // namespace isolde::lab
