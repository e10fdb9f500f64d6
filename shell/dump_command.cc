// isolde dump DIR [FILE|-]: a keyspace as of one snapshot, in key order.
#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "commands.h"
#include "exit_code.h"
#include "interrupt.h"
#include "isolde/database.h"
#include "lab/text/source.h"
#include "lab/text/text.h"
#include "record_format.h"
#include "stream.h"

namespace isolde::shell {
namespace {

struct DumpOptions {
  std::string directory;
  std::string file = "-";
  std::string keyspace{default_keyspace_name};
  std::string format = "tsv";
};

// What a copy of the data may take in LMDB at most. mdb_load needs it before the first record, so
// it is reckoned from the whole database; it is address space only, not disk.
std::uint64_t map_bytes_for(const Database& database) {
  constexpr std::uint64_t least = std::uint64_t{64} << 20;
  const Stats stats = database.stats();
  return least + 4 * (stats.base_file_bytes + stats.version_bytes);
}

Result<std::uint64_t> write_records(Transaction& txn, const Keyspace& keyspace,
                                    RecordWriter& writer, Output& output) {
  std::string text;
  std::optional<Error> failure;
  auto scanned = txn.scan(keyspace, KeyRange::all(),
                          [&](std::string_view key, std::string_view value) -> bool {
                            text.clear();
                            writer.write(key, value, text);
                            auto written = output.write(text);
                            if (!written) failure = written.error();
                            if (!failure && interrupted())
                              failure = Error(ErrorCode::cancelled, "interrupted");
                            return !failure;
                          });
  if (failure) return *failure;
  if (!scanned) return scanned.error();
  return std::uint64_t{*scanned};
}

Result<std::uint64_t> write_dump(Database& database, const Keyspace& keyspace,
                                 const DumpOptions& options) {
  auto output = Output::open(options.file);
  if (!output) return output.error();
  auto txn =
      database.begin({.isolation = Isolation::repeatable_read, .label = "dump", .read_only = true});
  if (!txn) return txn.error();
  const auto writer = RecordWriter::create(*record_format_from_name(options.format));
  std::string text;
  writer->begin(keyspace.name(), map_bytes_for(database), text);
  if (auto written = output->write(text); !written) return written.error();
  auto count = write_records(*txn, keyspace, *writer, *output);
  if (!count) return count.error();
  text.clear();
  writer->end(text);
  if (auto written = output->write(text); !written) return written.error();
  if (auto finished = output->finish(); !finished) return finished.error();
  return *count;
}

int dump(const DumpOptions& options) {
  if (options.format == "mdb" && options.keyspace.find('\n') != std::string::npos) {
    complain("the name of this keyspace holds a line end; an mdb header cannot hold it");
    return exit_usage;
  }
  Options database_options;
  database_options.create_if_missing = false;
  database_options.read_only = true;
  auto database = Database::open(options.directory, database_options);
  if (!database) return report_open(database.error(), options.directory);
  auto keyspace = database->find_keyspace(options.keyspace);
  if (!keyspace) return report_unknown_keyspace(*database, options.keyspace);
  auto count = write_dump(*database, *keyspace, options);
  if (!count) {
    const int code = report(count.error(), fmt::format("dumping {}", options.directory));
    // A place that cannot be written says nothing about the database.
    return count.error().code() == ErrorCode::permission_denied ? exit_failed : code;
  }
  std::fputs(fmt::format("dumped {} record{} of keyspace {}\n", *count, *count == 1 ? "" : "s",
                         lab::spelled(options.keyspace))
                 .c_str(),
             stderr);
  return exit_ok;
}

}  // namespace

void add_dump_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command =
      app.add_subcommand("dump", "Write a keyspace, as of one moment, in key order");
  auto options = std::make_shared<DumpOptions>();
  command->add_option("DIR", options->directory, "The database")->required();
  command->add_option("FILE", options->file, "The output; - is standard output (default)");
  command->add_option("--keyspace,-k", options->keyspace, "Which one (default: \"default\")");
  command->add_option("--as", options->format, "tsv (default), jsonl or mdb (for mdb_load)")
      ->check(CLI::IsMember({"tsv", "jsonl", "mdb"}));
  command->footer("Example: isolde dump bank.db accounts.tsv --keyspace accounts");
  command->callback(
      [options, &invocation] { invocation.run = [options] { return dump(*options); }; });
}

}  // namespace isolde::shell
