// Reading records. Every reader is strict: what it does not understand is an error with its place,
// for a line that is skipped in silence is data lost in silence.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "isolde/error.h"
#include "isolde/types.h"
#include "lab/text/text.h"
#include "record_format.h"

namespace isolde::shell {
namespace {

using Failure = std::optional<InputError>;

// The library's bounds, so that the error names the line, and before anything was loaded.
Failure check_bounds(std::string_view key, std::string_view value, std::size_t line,
                     std::size_t key_column, std::size_t value_column) {
  if (key.empty()) return InputError{line, key_column, "the key is empty"};
  if (key.size() > max_key_bytes) {
    return InputError{
        line, key_column,
        fmt::format("the key has {} bytes; at most {} are possible", key.size(), max_key_bytes)};
  }
  if (value.size() > max_value_bytes) {
    return InputError{line, value_column,
                      fmt::format("the value has {} bytes; at most {} are possible", value.size(),
                                  max_value_bytes)};
  }
  return std::nullopt;
}

class TsvReader final : public RecordReader {
 public:
  explicit TsvReader(Sink sink) : sink_(std::move(sink)) {}

  Failure read(std::string_view line, std::size_t number) override {
    const std::size_t tab = line.find('\t');
    if (tab == std::string_view::npos) {
      return InputError{number, line.size() + 1, "no tab between key and value"};
    }
    if (const std::size_t second = line.find('\t', tab + 1); second != std::string_view::npos) {
      return InputError{number, second + 1, "a second tab; within a key or value write \\t"};
    }
    if (auto failure = decode(line.substr(0, tab), number, 0, key_)) return failure;
    if (auto failure = decode(line.substr(tab + 1), number, tab + 1, value_)) return failure;
    if (auto failure = check_bounds(key_, value_, number, 1, tab + 2)) return failure;
    sink_(key_, value_);
    return std::nullopt;
  }

  Failure finish(std::size_t) override { return std::nullopt; }

 private:
  static Failure decode(std::string_view text, std::size_t line, std::size_t offset,
                        std::string& bytes) {
    bytes.clear();
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (c == '\r') {
        return InputError{line, offset + i + 1,
                          "a carriage return; write \\x0d if it belongs to the data, or convert a "
                          "file with Windows line ends first"};
      }
      if (c != '\\') {
        bytes += c;
        continue;
      }
      const char kind = i + 1 < text.size() ? text[i + 1] : '\0';
      const auto byte =
          kind == 'x' && i + 4 <= text.size() ? lab::from_hex(text.substr(i + 2, 2)) : std::nullopt;
      if (byte) {
        bytes += *byte;
        i += 3;
      } else if (kind == 't' || kind == 'n' || kind == '\\') {
        bytes += kind == 't' ? '\t' : kind == 'n' ? '\n' : '\\';
        i += 1;
      } else {
        return InputError{line, offset + i + 1,
                          "unknown escape; known are \\t \\n \\\\ and \\xNN (two hex digits)"};
      }
    }
    return std::nullopt;
  }

  Sink sink_;
  std::string key_;
  std::string value_;
};

class JsonLinesReader final : public RecordReader {
 public:
  explicit JsonLinesReader(Sink sink) : sink_(std::move(sink)) {}

  Failure read(std::string_view line, std::size_t number) override {
    using Json = nlohmann::json;
    Json json;
    try {
      json = Json::parse(line, watch_duplicates());
    } catch (const Json::parse_error& error) {
      return InputError{number, std::max<std::size_t>(1, error.byte), reason_of(error.what())};
    } catch (const Json::exception& error) {  // a number that does not fit, for one
      return InputError{number, 1, reason_of(error.what())};
    }
    if (!json.is_object()) {
      return InputError{number, 1, R"(not an object of the form {"key": ..., "value": ...})"};
    }
    if (!duplicate_.empty()) {
      return InputError{number, 1, fmt::format("\"{}\" is given twice", duplicate_)};
    }
    for (const auto& [name, member] : json.items()) {
      if (name != "key" && name != "value") {
        return InputError{number, 1,
                          fmt::format("unknown member \"{}\"; an object has \"key\" and \"value\"",
                                      lab::printable(name))};
      }
    }
    const auto key = bytes_of(json, "key");
    const auto value = bytes_of(json, "value");
    if (!key || !value) {
      return InputError{
          number, 1,
          fmt::format("\"{}\" must be a string or {{\"hex\": \"...\"}}", key ? "value" : "key")};
    }
    if (auto failure = check_bounds(*key, *value, number, 1, 1)) return failure;
    sink_(*key, *value);
    return std::nullopt;
  }

  Failure finish(std::size_t) override { return std::nullopt; }

 private:
  // JSON allows a name twice, and keeps the last: here that would be a value lost in silence.
  nlohmann::json::parser_callback_t watch_duplicates() {
    seen_ = {false, false};
    duplicate_.clear();
    return [this](int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
      if (depth != 1 || event != nlohmann::json::parse_event_t::key) return true;
      const auto& name = parsed.get_ref<const std::string&>();
      if (name != "key" && name != "value") return true;
      if (std::exchange(seen_[name == "key" ? 0 : 1], true)) duplicate_ = name;
      return true;
    };
  }

  static std::string reason_of(std::string_view what) {
    // "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error ..."
    const std::size_t colon = what.find(": ");
    const std::string_view reason = colon == std::string_view::npos ? what : what.substr(colon + 2);
    return "not JSON: " + lab::printable(reason);
  }

  static std::optional<std::string> bytes_of(const nlohmann::json& object, const char* name) {
    const auto member = object.find(name);
    if (member == object.end()) return std::nullopt;
    if (member->is_string()) return member->get<std::string>();
    if (!member->is_object() || member->size() != 1) return std::nullopt;
    const auto digits = member->find("hex");
    if (digits == member->end() || !digits->is_string()) return std::nullopt;
    return lab::from_hex(digits->get_ref<const std::string&>());
  }

  Sink sink_;
  std::array<bool, 2> seen_{};
  std::string duplicate_;
};

// The format of mdb_dump: a header, then key and value on lines of their own, each with a space in
// front, as hex digits (bytevalue) or with \xx for what does not print (print).
class MdbReader final : public RecordReader {
 public:
  MdbReader(Sink sink, Warn warn) : sink_(std::move(sink)), warn_(std::move(warn)) {}

  Failure read(std::string_view line, std::size_t number) override {
    switch (state_) {
      case State::header:
        return read_header(line, number);
      case State::data:
        return read_data(line, number);
      case State::over:
        break;
    }
    return InputError{number, 1, "text after DATA=END; dump one database alone (mdb_dump -s NAME)"};
  }

  Failure finish(std::size_t lines) override {
    if (state_ == State::header) {
      return InputError{lines + 1, 1, "the input ends before HEADER=END"};
    }
    if (state_ == State::data) return InputError{lines + 1, 1, "the input ends before DATA=END"};
    return std::nullopt;
  }

  std::optional<std::string> keyspace() const override { return keyspace_; }

 private:
  enum class State : std::uint8_t { header, data, over };

  Failure read_header(std::string_view line, std::size_t number) {
    if (line == "HEADER=END") {
      if (!has_version_) return InputError{number, 1, "the header has no VERSION=3"};
      state_ = State::data;
      return std::nullopt;
    }
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) {
      return InputError{number, 1, "not a header line (name=value) of mdb_dump"};
    }
    return read_setting(line.substr(0, equals), line.substr(equals + 1), number, equals + 2);
  }

  Failure read_setting(std::string_view name, std::string_view value, std::size_t number,
                       std::size_t column) {
    constexpr std::array<std::string_view, 6> refused{"dupsort",    "dupfixed",   "duplicates",
                                                      "integerkey", "reversekey", "reversedup"};
    constexpr std::array<std::string_view, 4> of_no_matter{"mapsize", "maxreaders", "mapaddr",
                                                           "db_pagesize"};
    const auto fail = [&](std::string message) {
      return InputError{number, column, std::move(message)};
    };
    if (name == "VERSION") {
      has_version_ = value == "3";
      if (!has_version_) return fail("only VERSION=3 is known");
    } else if (name == "format") {
      if (value != "bytevalue" && value != "print") return fail("format is bytevalue or print");
      print_ = value == "print";
    } else if (name == "type") {
      if (value != "btree") return fail("only type=btree can be loaded");
    } else if (name == "database") {
      keyspace_ = std::string(value);
    } else if (std::find(refused.begin(), refused.end(), name) != refused.end()) {
      if (value != "0") {
        return fail(
            fmt::format("a database with {} cannot be loaded: a key here has one value, "
                        "and keys are in byte order",
                        name));
      }
    } else if (std::find(of_no_matter.begin(), of_no_matter.end(), name) == of_no_matter.end()) {
      warn_(number, fmt::format("header line {} means nothing here", lab::printable(name)));
    }
    return std::nullopt;
  }

  Failure read_data(std::string_view line, std::size_t number) {
    if (line == "DATA=END") {
      state_ = State::over;
      if (has_key_) return InputError{number, 1, "the last key has no value"};
      return std::nullopt;
    }
    if (!line.starts_with(' ')) {
      return InputError{number, 1, "a line of data begins with a space"};
    }
    std::string& bytes = has_key_ ? value_ : key_;
    if (auto failure = decode(line.substr(1), number, bytes)) return failure;
    if (!std::exchange(has_key_, !has_key_)) {
      return check_bounds(key_, {}, number, 2, 2);
    }
    if (auto failure = check_bounds(key_, value_, number, 2, 2)) return failure;
    sink_(key_, value_);
    return std::nullopt;
  }

  Failure decode(std::string_view text, std::size_t number, std::string& bytes) const {
    bytes.clear();
    if (!print_) {
      auto decoded = lab::from_hex(text);
      if (decoded) {
        bytes = std::move(*decoded);
        return std::nullopt;
      }
      const std::size_t bad =
          std::min(text.find_first_not_of("0123456789abcdefABCDEF"), text.size());
      return InputError{number, bad + 2, "expected pairs of hex digits (format=bytevalue)"};
    }
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\\') {
        bytes += text[i];
        continue;
      }
      if (i + 1 < text.size() && text[i + 1] == '\\') {
        bytes += '\\';
        i += 1;
        continue;
      }
      const auto byte = i + 3 <= text.size() ? lab::from_hex(text.substr(i + 1, 2)) : std::nullopt;
      if (!byte) {
        return InputError{number, i + 2, "expected \\\\ or \\ and two hex digits (format=print)"};
      }
      bytes += *byte;
      i += 2;
    }
    return std::nullopt;
  }

  Sink sink_;
  Warn warn_;
  State state_ = State::header;
  bool has_version_ = false;
  bool print_ = false;
  std::optional<std::string> keyspace_;
  bool has_key_ = false;
  std::string key_;
  std::string value_;
};

}  // namespace

std::string_view name(RecordFormat format) noexcept {
  switch (format) {
    case RecordFormat::tsv:
      return "tsv";
    case RecordFormat::jsonl:
      return "jsonl";
    case RecordFormat::mdb:
      return "mdb";
  }
  return "unknown";
}

std::optional<RecordFormat> record_format_from_name(std::string_view text) noexcept {
  for (const RecordFormat format : {RecordFormat::tsv, RecordFormat::jsonl, RecordFormat::mdb}) {
    if (name(format) == text) return format;
  }
  return std::nullopt;
}

std::unique_ptr<RecordReader> RecordReader::create(RecordFormat format, Sink sink, Warn warn) {
  switch (format) {
    case RecordFormat::tsv:
      return std::make_unique<TsvReader>(std::move(sink));
    case RecordFormat::jsonl:
      return std::make_unique<JsonLinesReader>(std::move(sink));
    case RecordFormat::mdb:
      break;
  }
  return std::make_unique<MdbReader>(std::move(sink), std::move(warn));
}

}  // namespace isolde::shell
