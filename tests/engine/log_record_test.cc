// The bytes of a record.

#include "engine/log/log_record.h"

#include <array>
#include <boost/test/unit_test.hpp>
#include <string>
#include <vector>

#include "engine/log/log_group.h"
#include "tests/support/seed.h"

namespace isolde::engine {
namespace {

std::string payload_of(const std::vector<std::string>& entries) {
  std::string payload;
  for (const std::string& entry : entries) {
    const auto prefix = encode_entry_prefix(entry.size());
    payload.append(prefix.data(), prefix.size()).append(entry);
  }
  return payload;
}

RecordHeader example() {
  RecordHeader header;
  header.kind = RecordKind::group;
  header.database_id = 0x0102030405060708;
  header.epoch = 3;
  header.segment = 2;
  header.offset = 8192;
  header.segment_bytes = 65536;
  header.first = 10;
  header.last = 11;
  header.durable = 9;
  header.predecessor = 0xfedcba9876543210;
  return header;
}

std::string encode(RecordHeader header, std::string_view payload) {
  const EncodedHeader bytes = encode_header(header, {&payload, 1});
  return std::string(bytes.data(), bytes.size()).append(payload);
}

using Status = RecordProbe::Status;

}  // namespace

BOOST_AUTO_TEST_SUITE(log_record)

BOOST_AUTO_TEST_CASE(a_record_is_read_as_it_was_written) {
  const std::string payload = payload_of({"one", ""});
  const RecordHeader written = example();
  const RecordProbe probe = probe_record(encode(written, payload) + "what follows");
  BOOST_REQUIRE((probe.status == Status::valid));
  BOOST_TEST((probe.header.kind == written.kind));
  BOOST_TEST(probe.header.length == record_header_bytes + payload.size());
  BOOST_TEST(probe.header.database_id == written.database_id);
  BOOST_TEST(probe.header.epoch == written.epoch);
  BOOST_TEST(probe.header.segment == written.segment);
  BOOST_TEST(probe.header.offset == written.offset);
  BOOST_TEST(probe.header.segment_bytes == written.segment_bytes);
  BOOST_TEST(probe.header.first == written.first);
  BOOST_TEST(probe.header.last == written.last);
  BOOST_TEST(probe.header.durable == written.durable);
  BOOST_TEST(probe.header.predecessor == written.predecessor);
}

// The format is on people's disks: these bytes must stay as they are.
BOOST_AUTO_TEST_CASE(the_bytes_are_those_of_the_format) {
  const std::string bytes = encode(example(), payload_of({"one", ""}));
  const auto hex = [&](std::size_t from, std::size_t count) {
    std::string text;
    for (const char c : bytes.substr(from, count)) {
      constexpr std::string_view digits = "0123456789abcdef";
      text += digits[static_cast<unsigned char>(c) >> 4];
      text += digits[static_cast<unsigned char>(c) & 15];
    }
    return text;
  };
  BOOST_TEST(bytes.substr(0, 8) == "ISOLDLOG");
  BOOST_TEST(hex(8, 4) == "01000000");
  BOOST_TEST(hex(12, 4) == "03000000");
  BOOST_TEST(hex(16, 8) == "7300000000000000");
  BOOST_TEST(hex(32, 8) == "0807060504030201");
  BOOST_TEST(hex(40, 8) == "0300000000000000");
  BOOST_TEST(hex(48, 8) == "0200000000000000");
  BOOST_TEST(hex(56, 8) == "0020000000000000");
  BOOST_TEST(hex(64, 8) == "0000010000000000");
  BOOST_TEST(hex(72, 8) == "0a00000000000000");
  BOOST_TEST(hex(80, 8) == "0b00000000000000");
  BOOST_TEST(hex(88, 8) == "0900000000000000");
  BOOST_TEST(hex(96, 8) == "1032547698badcfe");
  BOOST_TEST(hex(104, 11) == "030000006f6e6500000000");
  BOOST_TEST(hex(24, 8) == "93258fa3bac6f330");
}

BOOST_AUTO_TEST_CASE(every_changed_bit_is_noticed) {
  const std::string sound = encode(example(), payload_of({"some entry", "another"}));
  for (std::size_t bit = 0; bit < 8 * sound.size(); ++bit) {
    std::string damaged = sound;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    const Status status = probe_record(damaged).status;
    BOOST_REQUIRE((status == (bit < 64 ? Status::nothing : Status::damaged)));
  }
}

BOOST_AUTO_TEST_CASE(every_truncated_record_is_noticed) {
  const std::string sound = encode(example(), payload_of({"some entry"}));
  for (std::size_t bytes = 0; bytes < sound.size(); ++bytes) {
    BOOST_REQUIRE((probe_record(std::string_view(sound).substr(0, bytes)).status != Status::valid));
  }
}

BOOST_AUTO_TEST_CASE(a_record_without_commits_or_of_unknown_kind_is_damaged) {
  RecordHeader header = example();
  header.last = header.first - 1;
  BOOST_TEST((probe_record(encode(header, "")).status == Status::damaged));
  header = example();
  header.kind = static_cast<RecordKind>(4);
  BOOST_TEST((probe_record(encode(header, "")).status == Status::damaged));
  header.kind = RecordKind::epoch;
  BOOST_TEST((probe_record(encode(header, "short")).status == Status::damaged));
}

BOOST_AUTO_TEST_CASE(the_payload_of_a_life_is_read_as_it_was_written) {
  const auto bytes = encode_epoch({7, 8, 9});
  const auto epoch = decode_epoch({bytes.data(), bytes.size()});
  BOOST_REQUIRE(epoch.has_value());
  BOOST_TEST(epoch->use == 7);
  BOOST_TEST(epoch->segment == 8);
  BOOST_TEST(epoch->segment_bytes == 9);
}

BOOST_AUTO_TEST_CASE(entries_that_outgrow_their_payload_are_not_read) {
  const std::string payload = payload_of({"first", "second"});
  EntryReader whole(payload);
  BOOST_TEST(whole.next().value() == "first");
  BOOST_TEST(whole.next().value() == "second");
  BOOST_TEST(!whole.next().has_value());
  BOOST_TEST(whole.rest().empty());
  EntryReader cut(std::string_view(payload).substr(0, payload.size() - 1));
  BOOST_TEST(cut.next().value() == "first");
  BOOST_TEST(!cut.next().has_value());
  BOOST_TEST(!cut.rest().empty());
}

// Whatever the sizes and wherever segments end, the records together hold every entry once, in
// order, and each fits.
BOOST_AUTO_TEST_CASE(a_group_is_split_between_entries_only) {
  std::mt19937_64 random(test::seed());
  for (std::size_t round = 0; round < 300 * test::scale(); ++round) {
    LogGroup group;
    std::vector<std::string> entries;
    const std::uint64_t first = random() % 100;
    const std::size_t count = 1 + random() % 30;
    for (std::size_t i = 0; i < count; ++i) {
      const bool large = random() % 5 == 0;
      entries.emplace_back(random() % (large ? 9000 : 300), static_cast<char>('a' + i % 26));
      if (large) {
        group.add_large(first + i, entries.back(), entries.back().size() > 7000 ? 10000 : 0);
      } else {
        group.add(first + i, entries.back());
      }
    }
    BOOST_REQUIRE(group.count() == count);
    GroupReader reader(group);
    std::vector<std::string> read;
    while (!reader.done()) {
      const std::uint64_t before = reader.next();
      const std::uint64_t room = reader.next_need() + padded(random() % 3000);
      std::string payload;
      for (const auto piece : reader.take(room)) payload += piece;
      BOOST_REQUIRE(reader.next() > before);
      BOOST_REQUIRE(padded(record_header_bytes + payload.size()) <= room);
      EntryReader in_record(payload);
      while (const auto entry = in_record.next()) read.emplace_back(*entry);
      BOOST_REQUIRE(in_record.rest().empty());
      BOOST_REQUIRE(read.size() == reader.next() - first);
    }
    BOOST_REQUIRE((read == entries));
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace isolde::engine
