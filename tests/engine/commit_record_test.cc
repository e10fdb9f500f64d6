// The bytes of one commit.

#include "engine/commit_record.h"

#include <boost/test/unit_test.hpp>
#include <string>
#include <vector>

#include "tests/support/seed.h"

namespace isolde::engine {
namespace {

struct OwnedChange {
  ChangeKind kind;
  std::uint32_t keyspace;
  std::string key;
  std::string value;
  bool operator==(const OwnedChange&) const = default;
};

Result<std::vector<OwnedChange>> read_all(std::string_view entry) {
  std::vector<OwnedChange> changes;
  CommitRecordReader reader(entry);
  for (;;) {
    auto change = reader.next();
    if (!change) return change.error();
    if (!change->has_value()) return changes;
    const Change& c = **change;
    changes.push_back({c.kind, c.keyspace.value, std::string(c.key), std::string(c.value)});
  }
}

std::string encode(const std::vector<OwnedChange>& changes) {
  CommitRecord record;
  for (const OwnedChange& change : changes) {
    const KeyspaceId keyspace{change.keyspace};
    const std::size_t before = record.size();
    switch (change.kind) {
      case ChangeKind::put:
        record.put(keyspace, change.key, change.value);
        break;
      case ChangeKind::erase:
        record.erase(keyspace, change.key);
        break;
      case ChangeKind::create_keyspace:
        record.create_keyspace(keyspace, change.key);
        break;
      case ChangeKind::drop_keyspace:
        record.drop_keyspace(keyspace, change.key);
        break;
    }
    BOOST_REQUIRE(record.size() - before <= CommitRecord::bytes_of(change.key, change.value));
  }
  return std::move(record).take();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(commit_record)

BOOST_AUTO_TEST_CASE(changes_are_read_as_they_were_written) {
  const std::vector<OwnedChange> changes{
      {ChangeKind::create_keyspace, 1, "accounts", ""},
      {ChangeKind::put, 1, "alice", "100"},
      {ChangeKind::put, 1, std::string("\0\xff", 2), std::string(3, '\0')},
      {ChangeKind::put, 1, "empty", ""},
      {ChangeKind::erase, 0xffffffff, std::string(max_key_bytes, 'k'), ""},
      {ChangeKind::put, 127, "k", std::string(100000, 'v')},
      {ChangeKind::drop_keyspace, 128, "accounts", ""},
  };
  BOOST_TEST((read_all(encode(changes)).value() == changes));
}

BOOST_AUTO_TEST_CASE(no_changes_are_no_bytes) {
  BOOST_TEST(encode({}).empty());
  BOOST_TEST(read_all("").value().empty());
}

// The format is on people's disks: these bytes must stay as they are.
BOOST_AUTO_TEST_CASE(the_bytes_are_those_of_the_format) {
  const auto bytes = encode({{ChangeKind::put, 300, "k", "vv"}, {ChangeKind::erase, 2, "x", ""}});
  BOOST_TEST(bytes == std::string("\x01\xac\x02\x01k\x02vv"
                                  "\x02\x02\x01x"));
}

BOOST_AUTO_TEST_CASE(every_beginning_of_a_commit_is_malformed_or_ends_between_changes) {
  const std::vector<OwnedChange> changes{{ChangeKind::put, 300, "key", std::string(200, 'v')},
                                         {ChangeKind::erase, 7, "other", ""}};
  const std::string whole = encode(changes);
  std::size_t sound = 0;
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    const auto read = read_all(std::string_view(whole).substr(0, bytes));
    sound += read.has_value() ? 1 : 0;
    if (!read) BOOST_TEST((read.error().code() == ErrorCode::corruption));
  }
  BOOST_TEST(sound == 2);  // nothing, and the first change alone
}

BOOST_AUTO_TEST_CASE(unknown_kinds_and_endless_numbers_are_corruption) {
  BOOST_TEST(!read_all(std::string("\x00\x01\x01k", 4)));
  BOOST_TEST(!read_all("\x05\x01\x01k"));
  BOOST_TEST(!read_all("\x02\xff\xff\xff\xff\x1f\x01k"));      // more than 32 bits
  BOOST_TEST(!read_all("\x02\xff\xff\xff\xff\xff\xff\x01k"));  // never ends
}

BOOST_AUTO_TEST_CASE(random_bytes_are_read_or_refused_without_harm) {
  std::mt19937_64 random(test::seed());
  for (std::size_t round = 0; round < test::rounds(20000); ++round) {
    std::string bytes(random() % 40, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random() % 8 == 0 ? random() : random() % 5);
    const auto read = read_all(bytes);
    if (!read) BOOST_REQUIRE((read.error().code() == ErrorCode::corruption));
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace isolde::engine
