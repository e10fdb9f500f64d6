// Bytes and text: what is UTF-8, how wide it is on a terminal, how scripts spell arbitrary bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace isolde::lab {

// The length of the valid UTF-8 sequence that `text` begins with, or 0.
std::size_t utf8_length(std::string_view text) noexcept;
bool is_utf8(std::string_view text) noexcept;

// Columns that valid UTF-8 takes on a terminal: wide characters 2, combining ones 0.
std::size_t display_width(std::string_view text) noexcept;

// Control characters and invalid bytes replaced by one column each, for showing foreign text.
std::string printable(std::string_view text);

// As a script spells it: bare where that is unambiguous, else in quotes with \xNN. Keywords of
// expectations (ok, absent, error codes, ...) are quoted as well.
std::string spelled(std::string_view bytes);
// The same, shortened to about `limit` bytes for people.
std::string spelled_short(std::string_view bytes, std::size_t limit = 48);

std::string hex(std::string_view bytes);
// Nothing if `text` is not an even number of hexadecimal digits.
std::optional<std::string> from_hex(std::string_view text);

// A decimal 64-bit integer with an optional sign, and nothing else.
std::optional<std::int64_t> to_integer(std::string_view text) noexcept;

// Breaks text into lines of at most `width` columns, at spaces where possible. At least one line.
std::vector<std::string> wrapped(std::string_view text, std::size_t width);

// `text`, then spaces up to `width` columns.
std::string padded(std::string_view text, std::size_t width);

}  // namespace isolde::lab
