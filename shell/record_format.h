// The formats in which records come and go: tsv, jsonl, and mdb (that of mdb_dump and mdb_load).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace isolde::shell {

enum class RecordFormat : std::uint8_t { tsv, jsonl, mdb };

std::string_view name(RecordFormat format) noexcept;
std::optional<RecordFormat> record_format_from_name(std::string_view text) noexcept;

// What is wrong in an input. Lines and columns (in bytes) count from 1.
struct InputError {
  std::size_t line = 0;
  std::size_t column = 0;
  std::string message;
};

// Turns the lines of an input into records, one call a line, in order.
class RecordReader {
 public:
  using Sink = std::function<void(std::string_view key, std::string_view value)>;
  using Warn = std::function<void(std::size_t line, std::string message)>;

  static std::unique_ptr<RecordReader> create(RecordFormat format, Sink sink, Warn warn);
  virtual ~RecordReader() = default;

  // `line` is without its newline.
  virtual std::optional<InputError> read(std::string_view line, std::size_t number) = 0;
  // The input is over after `lines` lines.
  virtual std::optional<InputError> finish(std::size_t lines) = 0;
  // The keyspace that the input itself names (mdb only).
  virtual std::optional<std::string> keyspace() const { return std::nullopt; }
};

// Turns records into text, appended to `out`.
class RecordWriter {
 public:
  static std::unique_ptr<RecordWriter> create(RecordFormat format);
  virtual ~RecordWriter() = default;

  // `map_bytes`: what a database that takes the records may need at most, for the mdb header.
  virtual void begin(std::string_view /*keyspace*/, std::uint64_t /*map_bytes*/,
                     std::string& /*out*/) {}
  virtual void write(std::string_view key, std::string_view value, std::string& out) = 0;
  virtual void end(std::string& /*out*/) {}
};

}  // namespace isolde::shell
