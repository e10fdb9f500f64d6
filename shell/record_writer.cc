#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

#include "isolde/keyspace.h"
#include "lab/text/text.h"
#include "record_format.h"
#include "stream.h"

namespace isolde::shell {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

void append_hex(char c, std::string& out) {
  out += hex_digits[static_cast<unsigned char>(c) >> 4];
  out += hex_digits[static_cast<unsigned char>(c) & 0xf];
}

bool is_plain(char c) { return c >= 0x20 && c < 0x7f; }

class TsvWriter final : public RecordWriter {
 public:
  void write(std::string_view key, std::string_view value, std::string& out) override {
    encode(key, out);
    out += '\t';
    encode(value, out);
    out += '\n';
  }

 private:
  static void encode(std::string_view bytes, std::string& out) {
    while (!bytes.empty()) {
      const char c = bytes[0];
      std::size_t length = 1;
      if (c == '\t' || c == '\n' || c == '\\') {
        out += c == '\t' ? "\\t" : c == '\n' ? "\\n" : "\\\\";
      } else if (is_plain(c)) {
        out += c;
      } else if (bytes.starts_with(byte_order_mark)) {
        // In front of a file it would be passed over when that is read again, and no reader sees it
        // elsewhere.
        for (const char byte : byte_order_mark) {
          out += "\\x";
          append_hex(byte, out);
        }
        length = byte_order_mark.size();
      } else if (length = lab::utf8_length(bytes); length > 1) {
        out += bytes.substr(0, length);
      } else {
        length = 1;
        out += "\\x";
        append_hex(c, out);
      }
      bytes.remove_prefix(length);
    }
  }
};

class JsonLinesWriter final : public RecordWriter {
 public:
  void write(std::string_view key, std::string_view value, std::string& out) override {
    out += "{\"key\": ";
    encode(key, out);
    out += ", \"value\": ";
    encode(value, out);
    out += "}\n";
  }

 private:
  static void encode(std::string_view bytes, std::string& out) {
    if (!lab::is_utf8(bytes)) {
      out += "{\"hex\": \"";
      for (const char c : bytes) append_hex(c, out);
      out += "\"}";
      return;
    }
    out += '"';
    for (const char c : bytes) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') {
        out += '\\';
        out += c;
      } else if (c == '\n' || c == '\t') {
        out += c == '\n' ? "\\n" : "\\t";
      } else if (byte < 0x20 || byte == 0x7f) {
        out += "\\u00";
        append_hex(c, out);
      } else {
        out += c;
      }
    }
    out += '"';
  }
};

class MdbWriter final : public RecordWriter {
 public:
  void begin(std::string_view keyspace, std::uint64_t map_bytes, std::string& out) override {
    out += "VERSION=3\nformat=bytevalue\n";
    // mdb_load puts what names no database into the unnamed one, which we know as "default".
    if (keyspace != default_keyspace_name) out += fmt::format("database={}\n", keyspace);
    out += fmt::format("type=btree\nmapsize={}\nHEADER=END\n", map_bytes);
  }

  void write(std::string_view key, std::string_view value, std::string& out) override {
    for (const std::string_view bytes : {key, value}) {
      out += ' ';
      for (const char c : bytes) append_hex(c, out);
      out += '\n';
    }
  }

  void end(std::string& out) override { out += "DATA=END\n"; }
};

}  // namespace

std::unique_ptr<RecordWriter> RecordWriter::create(RecordFormat format) {
  switch (format) {
    case RecordFormat::tsv:
      return std::make_unique<TsvWriter>();
    case RecordFormat::jsonl:
      return std::make_unique<JsonLinesWriter>();
    case RecordFormat::mdb:
      break;
  }
  return std::make_unique<MdbWriter>();
}

}  // namespace isolde::shell
