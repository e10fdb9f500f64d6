// Loading and dumping: round trips, malformed inputs, all or nothing.
#include <boost/test/unit_test.hpp>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "isolde/database.h"
#include "lab/text/text.h"
#include "tests/shell/process.h"
#include "tests/support/seed.h"
#include "tests/support/skipped.h"

namespace isolde::shell {
namespace {

using test::Finished;
using test::Workshop;
using Records = std::map<std::string, std::string>;

const std::vector<std::string> formats{"tsv", "jsonl", "mdb"};

// What the database holds, read through the library.
Records contents(const Workshop& workshop, const std::string& directory,
                 const std::string& keyspace) {
  Records records;
  Options options;
  options.create_if_missing = false;
  auto database = Database::open(workshop.file(directory), options);
  BOOST_REQUIRE(database);
  auto found = database->find_keyspace(keyspace);
  if (!found) return records;
  auto txn = database->begin().value();
  txn.scan(*found, KeyRange::all(),
           [&](std::string_view key, std::string_view value) { records.emplace(key, value); })
      .value();
  return records;
}

void fill(const Workshop& workshop, const std::string& directory, const std::string& keyspace,
          const Records& records) {
  auto database = Database::open(workshop.file(directory));
  BOOST_REQUIRE(database);
  const Keyspace target = database->keyspace(keyspace).value();
  auto txn = database->begin().value();
  for (const auto& [key, value] : records) txn.put(target, key, value).value();
  (void)txn.commit().value();
}

Records binary_records(std::uint64_t seed, std::size_t count) {
  std::mt19937_64 random(seed);
  Records records{{std::string("\0", 1), ""},
                  {"tab\tnew\nline", "back\\slash \"quoted\" \r return"},
                  {"\xff\xfe", std::string("\xc3\x28\0", 3)},
                  {"grüße", "漢字 \xf0\x9f\x98\x80"},
                  {" ", " leading and trailing "},
                  {"\\x41", "\\\\t\\n"},
                  {"del\x7f", "\x1b[31m"},
                  {"\xef\xbb\xbf mark", "mark \xef\xbb\xbf"},
                  {std::string(511, 'k'), std::string(100'000, 'v')}};
  for (std::size_t i = 0; i < count; ++i) {
    std::string key(1 + random() % 40, '\0');
    std::string value(random() % 200, '\0');
    for (char& c : key) c = static_cast<char>(random());
    for (char& c : value) c = static_cast<char>(random());
    records[key] = value;
  }
  return records;
}

bool have(const Workshop& workshop, const std::string& tool) {
  return workshop.bash("command -v " + tool).code == 0;
}

BOOST_AUTO_TEST_SUITE(records)

BOOST_AUTO_TEST_CASE(any_bytes_survive_a_round_trip_in_every_format) {
  const std::uint64_t seed = isolde::test::seed();
  BOOST_TEST_CONTEXT("ISOLDE_SEED=" << seed) {
    const Workshop workshop;
    const Records records = binary_records(seed, 500 * isolde::test::scale());
    fill(workshop, "a.db", "ks", records);
    for (const std::string& format : formats) {
      BOOST_TEST_INFO(format);
      const Finished dumped =
          workshop.isolde({"dump", "a.db", format + ".out", "-k", "ks", "--as", format});
      BOOST_TEST(dumped.code == 0);
      const Finished loaded =
          workshop.isolde({"load", format + ".db", format + ".out", "-k", "new", "--as", format});
      BOOST_TEST(loaded.code == 0);
      BOOST_TEST((contents(workshop, format + ".db", "new") == records));
      // Once more into what exists by then: one transaction instead of a bulk load.
      BOOST_TEST(
          workshop.isolde({"load", format + ".db", format + ".out", "-k", "new", "--as", format})
              .code == 0);
      BOOST_TEST((contents(workshop, format + ".db", "new") == records));
      const Finished again = workshop.isolde({"dump", format + ".db", "-k", "new", "--as", format});
      if (format != "mdb") BOOST_TEST((again.out == workshop.read(format + ".out")));
    }
  }
}

BOOST_AUTO_TEST_CASE(formats_look_as_documented) {
  const Workshop workshop;
  fill(workshop, "a.db", "default", {{"a\tb", "x\\y\n"}, {"\xff", "\r"}, {"ü", "1"}});
  BOOST_TEST(workshop.isolde({"dump", "a.db"}).out ==
             "a\\tb\tx\\\\y\\n\n"
             "ü\t1\n"
             "\\xff\t\\x0d\n");
  BOOST_TEST(workshop.isolde({"dump", "a.db", "--as", "jsonl"}).out ==
             "{\"key\": \"a\\tb\", \"value\": \"x\\\\y\\n\"}\n"
             "{\"key\": \"ü\", \"value\": \"1\"}\n"
             "{\"key\": {\"hex\": \"ff\"}, \"value\": \"\\u000d\"}\n");
  const std::string mdb = workshop.isolde({"dump", "a.db", "--as", "mdb"}).out;
  BOOST_TEST(mdb.starts_with("VERSION=3\nformat=bytevalue\ntype=btree\nmapsize="));
  BOOST_TEST(mdb.ends_with("HEADER=END\n 610962\n 785c790a\n c3bc\n 31\n ff\n 0d\nDATA=END\n"));
}

BOOST_AUTO_TEST_CASE(lmdbs_own_tools_take_what_is_dumped_and_give_what_is_loaded) {
  const Workshop workshop;
  if (!have(workshop, "mdb_load")) return isolde::test::skipped("lmdb-utils is not installed");
  const std::uint64_t seed = isolde::test::seed();
  Records records = binary_records(seed, 200);
  // mdb_dump -p of LMDB 0.9.24 does not escape backslashes, so that mdb_load misreads them as well.
  std::erase_if(records, [](const auto& record) {
    return (record.first + record.second).find('\\') != std::string::npos;
  });
  fill(workshop, "a.db", "ks", records);
  fill(workshop, "a.db", "default", records);
  for (const std::string option : {"", "-p"}) {
    BOOST_TEST_INFO("mdb_dump " << option << ", ISOLDE_SEED=" << seed);
    const Finished piped = workshop.bash(
        "set -e; rm -rf lmdb b.db c.db; mkdir lmdb;"
        "isolde dump a.db -k ks --as mdb | mdb_load lmdb;"
        "mdb_dump " +
        option +
        " -s ks lmdb | isolde load b.db --as mdb;"
        "rm -rf lmdb; mkdir lmdb;"
        "isolde dump a.db --as mdb | mdb_load lmdb;"
        "mdb_dump " +
        option + " lmdb | isolde load c.db --as mdb");
    BOOST_TEST(piped.code == 0, piped.err);
    BOOST_TEST((contents(workshop, "b.db", "ks") == records));
    BOOST_TEST((contents(workshop, "c.db", "default") == records));
  }
}

BOOST_AUTO_TEST_CASE(load_keeps_other_keys_and_replace_does_not) {
  const Workshop workshop;
  fill(workshop, "a.db", "ks", {{"kept", "1"}, {"changed", "1"}});
  BOOST_TEST(workshop.isolde({"load", "a.db", "-k", "ks"}, "changed\t2\nnew\t3\n").code == 0);
  BOOST_TEST(
      (contents(workshop, "a.db", "ks") == Records{{"kept", "1"}, {"changed", "2"}, {"new", "3"}}));
  BOOST_TEST(workshop.isolde({"load", "a.db", "-k", "ks", "--replace"}, "b\t2\nnew\t4\n").code ==
             0);
  BOOST_TEST((contents(workshop, "a.db", "ks") == Records{{"b", "2"}, {"new", "4"}}));
}

BOOST_AUTO_TEST_CASE(of_several_lines_with_one_key_the_last_wins) {
  const Workshop workshop;
  const Finished loaded =
      workshop.isolde({"load", "a.db", "-k", "ks"}, "b\t1\na\t1\nb\t2\na\t3\nb\t4\n");
  BOOST_TEST(loaded.code == 0);
  BOOST_TEST(loaded.err.find("loaded 2 records") != std::string::npos);
  BOOST_TEST(loaded.err.find("3 earlier lines") != std::string::npos);
  BOOST_TEST((contents(workshop, "a.db", "ks") == Records{{"a", "3"}, {"b", "4"}}));
}

BOOST_AUTO_TEST_CASE(an_empty_input_makes_an_empty_keyspace) {
  const Workshop workshop;
  BOOST_TEST(workshop.isolde({"load", "a.db", "-k", "ks"}, "").code == 0);
  const Finished dumped = workshop.isolde({"dump", "a.db", "-k", "ks"});
  BOOST_TEST(dumped.code == 0);
  BOOST_TEST(dumped.out == "");
}

BOOST_AUTO_TEST_CASE(a_transaction_larger_than_the_usual_bound_is_loaded_whole) {
  const Workshop workshop;
  fill(workshop, "a.db", "ks", {{"old", "1"}});
  std::string input;
  for (int i = 0; i < 9; ++i) {
    input += "key" + std::to_string(i) + '\t' + std::string(8 << 20, 'v') + '\n';
  }
  const Finished loaded = workshop.isolde({"load", "a.db", "-k", "ks"}, input);
  BOOST_TEST(loaded.code == 0, loaded.err);
  BOOST_TEST(contents(workshop, "a.db", "ks").size() == 10u);
}

struct Malformed {
  std::string format;
  std::string input;
  std::string place;  // "line:column"
  std::string message;
};

BOOST_AUTO_TEST_CASE(a_malformed_line_is_named_and_nothing_is_loaded) {
  const std::string header = "VERSION=3\nformat=bytevalue\ntype=btree\nHEADER=END\n";
  const std::string print_header = "VERSION=3\nformat=print\nHEADER=END\n";
  const std::string good = "{\"key\": \"a\", \"value\": \"1\"}\n";
  const std::vector<Malformed> table{
      {"tsv", "a\t1\nb\n", "2:2", "no tab"},
      {"tsv", "a\t1\n\nb\t2\n", "2:1", "no tab"},
      {"tsv", "a\t1\nb\t2\t3\n", "2:4", "a second tab"},
      {"tsv", "a\t1\nb\\q\t2\n", "2:2", "unknown escape"},
      {"tsv", "a\t1\\\n", "1:4", "unknown escape"},
      {"tsv", "a\t1\\x4\n", "1:4", "unknown escape"},
      {"tsv", "a\t\\xzz\n", "1:3", "unknown escape"},
      {"tsv", "a\t1\r\n", "1:4", "carriage return"},
      {"tsv", "\t1\n", "1:1", "the key is empty"},
      {"tsv", "a\t1\n" + std::string(512, 'k') + "\t1\n", "2:1", "the key has 512 bytes"},
      {"tsv", "a\t" + std::string((16 << 20) + 1, 'v') + "\n", "1:3", "the value has 16777217"},
      {"jsonl", good + "{\"key\": \"a\"\n", "2:12", "not JSON"},
      {"jsonl", good + "\n", "2:1", "not JSON"},
      {"jsonl", good + "[1]\n", "2:1", "not an object"},
      {"jsonl", good + "{\"key\": \"a\"}\n", "2:1", "\"value\" must be"},
      {"jsonl", "{\"key\": 1, \"value\": \"1\"}\n", "1:1", "\"key\" must be"},
      {"jsonl", "{\"key\": \"a\", \"value\": null}\n", "1:1", "\"value\" must be"},
      {"jsonl", "{\"key\": {\"hex\": \"0\"}, \"value\": \"1\"}\n", "1:1", "\"key\" must be"},
      {"jsonl", "{\"key\": {\"hex\": \"zz\"}, \"value\": \"1\"}\n", "1:1", "\"key\" must be"},
      {"jsonl", "{\"key\": \"a\", \"value\": \"1\", \"x\": 1}\n", "1:1", "unknown member \"x\""},
      {"jsonl", "{\"key\": \"a\", \"key\": \"b\", \"value\": \"1\"}\n", "1:1", "given twice"},
      {"jsonl", "{\"key\": \"\", \"value\": \"1\"}\n", "1:1", "the key is empty"},
      {"jsonl", "{\"key\": \"\xff\", \"value\": \"1\"}\n", "1:10", "not JSON"},
      {"mdb", "", "1:1", "ends before HEADER=END"},
      {"mdb", "a\t1\n", "1:1", "not a header line"},
      {"mdb", "VERSION=2\n", "1:9", "only VERSION=3"},
      {"mdb", "HEADER=END\nDATA=END\n", "1:1", "no VERSION=3"},
      {"mdb", "VERSION=3\nformat=hex\n", "2:8", "format is"},
      {"mdb", "VERSION=3\ntype=hash\n", "2:6", "only type=btree"},
      {"mdb", "VERSION=3\ndupsort=1\n", "2:9", "dupsort cannot be loaded"},
      {"mdb", header + " 61\n 31\n", "7:1", "ends before DATA=END"},
      {"mdb", header + " 61\n 31\n 62\nDATA=END\n", "8:1", "the last key has no value"},
      {"mdb", header + "61\n 31\nDATA=END\n", "5:1", "begins with a space"},
      {"mdb", header + " 6\n 31\nDATA=END\n", "5:3", "hex digits"},
      {"mdb", header + " 61\n 3x\nDATA=END\n", "6:3", "hex digits"},
      {"mdb", header + " \n 31\nDATA=END\n", "5:2", "the key is empty"},
      {"mdb", header + "DATA=END\nVERSION=3\n", "6:1", "text after DATA=END"},
      {"mdb", print_header + " a\\4\n 1\nDATA=END\n", "4:3", "two hex digits"},
  };
  const Workshop workshop;
  fill(workshop, "a.db", "ks", {{"kept", "1"}});
  for (const Malformed& malformed : table) {
    workshop.write("in", malformed.input);
    const Finished loaded =
        workshop.isolde({"load", "a.db", "in", "-k", "ks", "--replace", "--as", malformed.format});
    BOOST_TEST_CONTEXT(malformed.format << ": " << malformed.input.substr(0, 200)
                                        << "\nsaid: " << loaded.err) {
      BOOST_TEST(loaded.code == 2);
      BOOST_TEST(loaded.err.starts_with("isolde: in:" + malformed.place + ": "));
      BOOST_TEST(loaded.err.find(malformed.message) != std::string::npos);
      BOOST_TEST(loaded.err.find("nothing was loaded") != std::string::npos);
    }
    const Finished fresh = workshop.isolde({"load", "new.db", "in", "--as", malformed.format});
    BOOST_TEST(fresh.code == 2);
    BOOST_TEST(!workshop.has("new.db"));
  }
  BOOST_TEST((contents(workshop, "a.db", "ks") == Records{{"kept", "1"}}));
}

BOOST_AUTO_TEST_CASE(standard_input_is_named_in_errors) {
  const Workshop workshop;
  const Finished loaded = workshop.isolde({"load", "a.db"}, "a\t1\nb\n");
  BOOST_TEST(loaded.code == 2);
  BOOST_TEST(loaded.err.starts_with("isolde: standard input:2:2: "));
}

BOOST_AUTO_TEST_CASE(a_byte_order_mark_is_no_part_of_the_first_key) {
  const std::string mark = "\xef\xbb\xbf";
  const std::vector<std::pair<std::string, std::string>> inputs{
      {"tsv", "a\t1"},
      {"jsonl", "{\"key\": \"a\", \"value\": \"1\"}\n"},
      {"mdb", "VERSION=3\nformat=print\ntype=btree\nHEADER=END\n a\n 1\nDATA=END\n"}};
  const Workshop workshop;
  for (const auto& [format, text] : inputs) {
    const Finished loaded = workshop.isolde({"load", format + ".db", "--as", format}, mark + text);
    BOOST_TEST(loaded.code == 0);
    BOOST_TEST((contents(workshop, format + ".db", "default") == Records{{"a", "1"}}));
  }
  // One that belongs to a key is dumped so that it stays one.
  fill(workshop, "marked.db", "default", {{mark + "a", "1"}});
  BOOST_TEST(workshop.isolde({"dump", "marked.db"}).out == "\\xef\\xbb\\xbfa\t1\n");
}

BOOST_AUTO_TEST_CASE(a_header_line_of_no_meaning_is_mentioned) {
  const Workshop workshop;
  const Finished loaded = workshop.isolde(
      {"load", "a.db", "--as", "mdb"},
      "VERSION=3\nformat=print\ndatabase=named\nh_nelem=3\nHEADER=END\n a\n 1\nDATA=END\n");
  BOOST_TEST(loaded.code == 0);
  BOOST_TEST(loaded.err.find("4: header line h_nelem means nothing") != std::string::npos);
  BOOST_TEST((contents(workshop, "a.db", "named") == Records{{"a", "1"}}));
}

BOOST_AUTO_TEST_CASE(a_missing_input_is_malformed_usage) {
  const Workshop workshop;
  for (const std::string path : {"missing.tsv", "."}) {
    const Finished loaded = workshop.isolde({"load", "a.db", path});
    BOOST_TEST(loaded.code == 2);
    BOOST_TEST(loaded.err.find("cannot read " + path) != std::string::npos);
    BOOST_TEST(!workshop.has("a.db"));
  }
}

BOOST_AUTO_TEST_CASE(a_dump_that_cannot_be_written_is_told_and_leaves_the_old_file) {
  const Workshop workshop;
  Records records;
  for (int i = 0; i < 50'000; ++i) records["key" + std::to_string(i)] = std::string(50, 'v');
  fill(workshop, "a.db", "default", records);
  workshop.write("old", "old dump");
  // A limit on the size of files, as a full disk is; SIGXFSZ ignored, so that the write fails.
  const Finished full = workshop.bash("trap '' XFSZ; ulimit -f 1024; isolde dump a.db old");
  BOOST_TEST(full.code == 1, full.err);
  BOOST_TEST(full.err.find("cannot write old") != std::string::npos);
  BOOST_TEST(workshop.read("old") == "old dump");
  BOOST_TEST(workshop.bash("ls | grep partial").out == "");
  const Finished device = workshop.isolde({"dump", "a.db", "/dev/full"});
  BOOST_TEST(device.code == 1);
  BOOST_TEST(device.err.find("disk_full") != std::string::npos);
  // A pipe named as a file is a file that can't be written.
  const Finished pipe = workshop.bash("mkfifo p; head -c 1 p >first & isolde dump a.db p");
  BOOST_TEST(pipe.code == 1);
  BOOST_TEST(pipe.err.find("Broken pipe") != std::string::npos, pipe.err);
  BOOST_TEST(workshop.isolde({"dump", "a.db", "old"}).code == 0);
  BOOST_TEST(workshop.read("old").size() > 1'000'000u);
}

BOOST_AUTO_TEST_CASE(a_load_that_meets_a_full_disk_loads_nothing) {
  const Workshop workshop;
  fill(workshop, "a.db", "ks", {{"kept", "1"}});
  std::string input;
  for (int i = 0; i < 60; ++i) {
    input += "key" + std::to_string(i) + '\t' + std::string(1 << 20, 'v') + '\n';
  }
  workshop.write("in.tsv", input);
  for (const std::string keyspace : {"ks", "new"}) {
    // In blocks of 1 KiB: room for the log that is there, not for 60 MiB.
    const Finished loaded =
        workshop.bash("trap '' XFSZ; ulimit -f 30000; isolde load a.db in.tsv -k " + keyspace);
    BOOST_TEST(loaded.code == 1, loaded.err);
    BOOST_TEST(loaded.err.find("nothing was loaded") != std::string::npos);
    BOOST_TEST(workshop.isolde({"verify", "a.db"}).code == 0);
  }
  BOOST_TEST((contents(workshop, "a.db", "ks") == Records{{"kept", "1"}}));
  BOOST_TEST((contents(workshop, "a.db", "new") == Records{}));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::shell
