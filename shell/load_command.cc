// isolde load DIR [FILE|-]: all the records of the input, or none of them.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "commands.h"
#include "exit_code.h"
#include "interrupt.h"
#include "isolde/database.h"
#include "lab/text/text.h"
#include "record_format.h"
#include "stream.h"

namespace isolde::shell {
namespace {

struct LoadOptions {
  std::string directory;
  std::string file = "-";
  std::string keyspace;
  std::string format = "tsv";
  bool replace = false;
};

// The records of an input, in one block of memory.
class RecordSet {
 public:
  void add(std::string_view key, std::string_view value) {
    records_.push_back({bytes_.size(), static_cast<std::uint32_t>(key.size()),
                        static_cast<std::uint32_t>(value.size())});
    bytes_ += key;
    bytes_ += value;
  }

  // Puts them in key order; of several with one key the last stays. Returns how many went.
  std::size_t sort() {
    const auto key_less = [this](const Record& a, const Record& b) { return key(a) < key(b); };
    if (!std::is_sorted(records_.begin(), records_.end(), key_less)) {
      std::stable_sort(records_.begin(), records_.end(), key_less);
    }
    std::size_t kept = 0;
    for (std::size_t i = 0; i < records_.size(); ++i) {
      const bool superseded = i + 1 < records_.size() && key(records_[i]) == key(records_[i + 1]);
      if (!superseded) records_[kept++] = records_[i];
    }
    const std::size_t gone = records_.size() - kept;
    records_.resize(kept);
    return gone;
  }

  std::size_t size() const { return records_.size(); }
  Entry entry(std::size_t i) const { return {key(records_[i]), value(records_[i])}; }

 private:
  struct Record {
    std::size_t at;
    std::uint32_t key_bytes;
    std::uint32_t value_bytes;
  };
  std::string_view key(const Record& record) const {
    return std::string_view(bytes_).substr(record.at, record.key_bytes);
  }
  std::string_view value(const Record& record) const {
    return std::string_view(bytes_).substr(record.at + record.key_bytes, record.value_bytes);
  }

  std::string bytes_;
  std::vector<Record> records_;
};

// A line on the terminal about how far it is, once it takes long.
class Progress {
 public:
  explicit Progress(std::string what) : what_(std::move(what)) {}
  ~Progress() {
    if (shown_) std::fputs("\r\x1b[K", stderr);
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void at(std::uint64_t count) {
    constexpr std::uint64_t every = 65536;  // a look at the clock costs more than a record
    if (count % every != 0 || !terminal_) return;
    const auto now = Clock::now();
    if (now - start_ < std::chrono::seconds(2)) return;
    std::fputs(fmt::format("\r{} {} records ...", what_, count).c_str(), stderr);
    shown_ = true;
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::string what_;
  Clock::time_point start_ = Clock::now();
  bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  bool shown_ = false;
};

class Load {
 public:
  explicit Load(LoadOptions options) : options_(std::move(options)) {}

  int run() {
    const auto start = std::chrono::steady_clock::now();
    if (const int code = read_input(); code != exit_ok) return code;
    const std::size_t superseded = records_.sort();
    // Only now: a malformed input must not even leave an empty database behind.
    Options database_options;
    database_options.max_transaction_bytes = std::numeric_limits<std::size_t>::max() / 4;
    auto database = Database::open(options_.directory, database_options);
    if (!database) return report_open(database.error(), options_.directory);
    auto stored = store(*database);
    if (!stored) {
      complain("nothing was loaded");
      return report(stored.error(), fmt::format("loading into {}", options_.directory));
    }
    if (auto closed = database->close(); !closed) {
      return report(closed.error(), fmt::format("closing {}", options_.directory));
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    tell(superseded, took.count());
    return exit_ok;
  }

 private:
  int read_input() {
    const auto format = record_format_from_name(options_.format);
    auto input = LineInput::open(options_.file);
    if (!input) return report_input(input.error(), 0);
    const auto warn = [&](std::size_t line, const std::string& message) {
      complain(fmt::format("{}:{}: {}", input->name(), line, message));
    };
    const auto reader = RecordReader::create(
        *format, [this](std::string_view key, std::string_view value) { records_.add(key, value); },
        warn);
    Progress progress("read");
    std::size_t number = 0;
    for (;;) {
      auto line = input->next();
      if (!line) return report_input(line.error(), number + 1, input->name());
      if (!*line) break;
      ++number;
      if (auto failure = reader->read(**line, number)) return malformed(input->name(), *failure);
      progress.at(number);
    }
    if (auto failure = reader->finish(number)) return malformed(input->name(), *failure);
    if (options_.keyspace.empty()) {
      options_.keyspace = reader->keyspace().value_or(std::string(default_keyspace_name));
    }
    return exit_ok;
  }

  static int malformed(const std::string& name, const InputError& failure) {
    complain(fmt::format("{}:{}:{}: {}; nothing was loaded", name, failure.line, failure.column,
                         failure.message));
    return exit_usage;
  }

  static int report_input(const Error& error, std::size_t line, const std::string& name = {}) {
    if (error.code() == ErrorCode::cancelled) return report(error, "nothing was loaded");
    if (error.code() == ErrorCode::value_too_large) {
      complain(fmt::format("{}:{}:1: {}; nothing was loaded", name, line, error.message()));
    } else {
      complain(fmt::format("{}; nothing was loaded", error.message()));
    }
    return exit_usage;
  }

  Result<void> store(Database& database) {
    if (!database.find_keyspace(options_.keyspace)) return store_new(database);
    return store_into_existing(database);
  }

  Result<void> store_new(Database& database) {
    Progress progress("stored");
    std::size_t next = 0;
    auto loaded = database.bulk_load(options_.keyspace, [&]() -> Result<std::optional<Entry>> {
      if (interrupted()) return Error(ErrorCode::cancelled, "interrupted");
      progress.at(next);
      if (next == records_.size()) return std::optional<Entry>();
      return std::optional<Entry>(records_.entry(next++));
    });
    if (!loaded) return loaded.error();
    return {};
  }

  // One transaction, however large: all or nothing for readers, and across a crash.
  Result<void> store_into_existing(Database& database) {
    auto keyspace = database.keyspace(options_.keyspace);
    if (!keyspace) return keyspace.error();
    auto txn = database.begin({.label = "load"});
    if (!txn) return txn.error();
    if (options_.replace) {
      if (auto emptied = empty(*txn, *keyspace); !emptied) return emptied;
    }
    Progress progress("stored");
    for (std::size_t i = 0; i < records_.size(); ++i) {
      if (interrupted()) return Error(ErrorCode::cancelled, "interrupted");
      const Entry entry = records_.entry(i);
      if (auto put = txn->put(*keyspace, entry.key, entry.value); !put) return put;
      progress.at(i);
    }
    auto committed = txn->commit();
    if (!committed) return committed.error();
    return {};
  }

  Result<void> empty(Transaction& txn, const Keyspace& keyspace) {
    std::vector<std::string> keys;
    auto scanned = txn.scan(keyspace, KeyRange::all(), [&](std::string_view key, std::string_view) {
      keys.emplace_back(key);
    });
    if (!scanned) return scanned.error();
    for (const std::string& key : keys) {
      if (auto erased = txn.erase(keyspace, key); !erased) return erased;
    }
    removed_ = keys.size();
    return {};
  }

  void tell(std::size_t superseded, double seconds) const {
    std::string text = fmt::format("loaded {} record{} into keyspace {} of {} in {:.2f} s",
                                   records_.size(), records_.size() == 1 ? "" : "s",
                                   lab::spelled(options_.keyspace), options_.directory, seconds);
    if (seconds > 0) {
      text += fmt::format(" ({:.0f} records/s)", static_cast<double>(records_.size()) / seconds);
    }
    if (superseded > 0) {
      text += fmt::format("; {} earlier line{} had a key that a later one has again, the last wins",
                          superseded, superseded == 1 ? "" : "s");
    }
    if (options_.replace) text += fmt::format("; {} records were there before", removed_);
    std::fputs((text + '\n').c_str(), stderr);
  }

  LoadOptions options_;
  RecordSet records_;
  std::size_t removed_ = 0;
};

}  // namespace

void add_load_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand(
      "load", "Load records from a file or standard input: all of them, or none");
  auto options = std::make_shared<LoadOptions>();
  command->add_option("DIR", options->directory, "The database (created if missing)")->required();
  command->add_option("FILE", options->file, "The input; - is standard input (default)");
  command->add_option("--keyspace,-k", options->keyspace,
                      "Where to (default: what an mdb input names, else \"default\")");
  command->add_option("--as", options->format, "tsv (default), jsonl or mdb")
      ->check(CLI::IsMember({"tsv", "jsonl", "mdb"}));
  command->add_flag("--replace", options->replace,
                    "Empty the keyspace first, in the same transaction");
  command->footer("Example: isolde load bank.db accounts.tsv --keyspace accounts");
  command->callback(
      [options, &invocation] { invocation.run = [options] { return Load(*options).run(); }; });
}

}  // namespace isolde::shell
