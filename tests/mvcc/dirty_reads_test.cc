// Read uncommitted: a get and a scan answer alike, whatever lies on what.
#include "tests/mvcc/contents.h"
#include "tests/mvcc/phenomena.h"

using namespace isolde;
using namespace isolde::test;

namespace {

constexpr auto ru = Isolation::read_uncommitted;

// What `reader` sees of the key, by every way to look; the ways must agree.
std::string seen(Transaction& reader, const Keyspace& ks, const std::string& key) {
  const std::string got = text(get(reader, ks, key));
  const auto scanned = [&](const ScanOptions& options) {
    const std::string entry = scan(reader, ks, KeyRange::between(key, key + '\0'), options);
    return entry.empty() ? "absent" : entry.substr(entry.find('=') + 1);
  };
  BOOST_TEST(scanned({}) == got);
  BOOST_TEST(scanned(reversed()) == got);
  Cursor cursor = must(reader.cursor(ks, KeyRange::between(key, key + '\0')));
  const auto entry = must(cursor.next());
  BOOST_TEST((entry ? std::string(entry->value) : "absent") == got);
  return got;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(dirty_reads)

// Issue 13, defect 4.
BOOST_AUTO_TEST_CASE(an_own_add_on_another_s_uncommitted_value_reads_alike_by_get_and_scan) {
  for (const Where where : everywhere) {
    TempDatabase db(quick_options());
    const Keyspace& ks = db.keyspace();
    db.put("a", "10");
    bring(db, where);
    Transaction other = db.begin();
    must(other.put(ks, "a", "50"));
    Transaction txn = db.begin(ru);
    must(txn.add(ks, "a", 1));
    BOOST_TEST(seen(txn, ks, "a") == "51");
    must(other.rollback());
    BOOST_TEST(seen(txn, ks, "a") == "11");
    must(txn.rollback());
  }
}

BOOST_AUTO_TEST_CASE(uncommitted_adds_lie_on_the_uncommitted_values_below_them) {
  for (const Where where : everywhere) {
    TempDatabase db(quick_options());
    const Keyspace& ks = db.keyspace();
    db.put("a", "10");
    bring(db, where);
    Transaction writer = db.begin();
    must(writer.put(ks, "a", "50"));
    Transaction adder = db.begin(Isolation::read_committed);
    must(adder.add(ks, "a", 1));
    Transaction another = db.begin(Isolation::read_committed);
    must(another.add(ks, "a", 2));
    Transaction reader = db.begin(ru);
    BOOST_TEST(seen(reader, ks, "a") == "53");
    must(reader.add(ks, "a", 100));
    BOOST_TEST(seen(reader, ks, "a") == "153");
    must(writer.put(ks, "a", "7"));  // the newest of all but the reader's own
    BOOST_TEST(seen(reader, ks, "a") == "107");
    must(writer.erase(ks, "a"));
    BOOST_TEST(seen(reader, ks, "a") == "100");
    must(writer.rollback());
    BOOST_TEST(seen(reader, ks, "a") == "113");
    must(another.commit());
    BOOST_TEST(seen(reader, ks, "a") == "113");
    must(adder.rollback());
    BOOST_TEST(seen(reader, ks, "a") == "112");
    must(reader.commit());
    BOOST_TEST(text(db.get("a")) == "112");
  }
}

BOOST_AUTO_TEST_CASE(adds_on_what_is_no_integer_read_alike) {
  TempDatabase db(quick_options());
  const Keyspace& ks = db.keyspace();
  db.put("a", "10");
  Transaction other = db.begin();
  must(other.put(ks, "a", "ten"));
  Transaction adder = db.begin(Isolation::read_committed);
  must(adder.add(ks, "a", 1));
  Transaction reader = db.begin(ru);
  BOOST_TEST(seen(reader, ks, "a") == "ten");
  must(reader.add(ks, "a", 5));
  BOOST_TEST(seen(reader, ks, "a") == "ten");
  must(other.rollback());
  BOOST_TEST(seen(reader, ks, "a") == "16");
}

BOOST_AUTO_TEST_SUITE_END()
