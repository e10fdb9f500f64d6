// Cursors and scans that something comes between: savepoints, errors, the end of their transaction.
#include <dlfcn.h>
#include <lmdb.h>

#include <cerrno>

#include "tests/mvcc/contents.h"
#include "tests/mvcc/phenomena.h"

namespace {

// How many more steps of LMDB's cursors in this thread succeed; 0: all.
thread_local int steps_until_failure = 0;

}  // namespace

// Stands before LMDB's own: a disk that fails in the middle of a scan.
extern "C" int mdb_cursor_get(MDB_cursor* cursor, MDB_val* key, MDB_val* value,
                              MDB_cursor_op operation) {
  static const auto real =
      reinterpret_cast<decltype(&mdb_cursor_get)>(dlsym(RTLD_NEXT, "mdb_cursor_get"));
  const bool steps = operation == MDB_NEXT || operation == MDB_PREV;
  if (steps && steps_until_failure > 0 && --steps_until_failure == 0) return EIO;
  return real(cursor, key, value, operation);
}

using namespace isolde;
using namespace isolde::test;

namespace {

ScanOptions mode(ReadMode read_mode) {
  ScanOptions options;
  options.mode = read_mode;
  return options;
}

// Every way in which a cursor can read: levels, lockings, plain or for update, both directions.
template <typename Body>
void in_every_mode(Body&& body) {
  for (const Isolation level : all_levels) {
    for (const Locking locking : {Locking::optimistic, Locking::pessimistic}) {
      for (const ReadMode read_mode : {ReadMode::plain, ReadMode::for_update}) {
        for (const bool reverse : {false, true}) {
          ScanOptions options = mode(read_mode);
          options.reverse = reverse;
          BOOST_TEST_CONTEXT(name(level) << ' ' << name(locking)
                                         << (read_mode == ReadMode::plain ? "" : " for update")
                                         << (reverse ? " reverse" : "")) {
            body(at(level, "walker", locking), options);
          }
        }
      }
    }
  }
}

std::string rest_of(Cursor& cursor) {
  std::string seen;
  for (;;) {
    const auto entry = cursor.next();
    if (!entry) return seen + outcome(entry);
    if (!*entry) return seen + "end";
    seen.append((*entry)->key).append("=").append((*entry)->value).append(" ");
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(cursors)

// Issue 13, defect 7.
BOOST_AUTO_TEST_CASE(a_cursor_opened_inside_a_savepoint_ends_with_it_in_every_mode) {
  TempDatabase db(quick_options());
  const Keyspace& ks = db.keyspace();
  fill(db, {{"a", "1"}, {"b", "2"}});
  in_every_mode([&](const TransactionOptions& options, const ScanOptions& scan) {
    Transaction txn = must(db->begin(options));
    must(txn.put(ks, "a", "kept"));
    const Savepoint mark = must(txn.savepoint());
    must(txn.put(ks, "b", "undone"));
    must(txn.put(ks, "c", "undone"));
    Cursor cursor = must(txn.cursor(ks, KeyRange::all(), scan));
    Cursor stepped = must(txn.cursor(ks, KeyRange::all(), scan));
    must(stepped.next());
    must(txn.rollback_to(mark));
    BOOST_TEST(rest_of(cursor) == "invalid_argument");
    BOOST_TEST(rest_of(stepped) == "invalid_argument");
    BOOST_TEST(txn.active());
    Cursor after = must(txn.cursor(ks, KeyRange::all(), scan));
    BOOST_TEST(rest_of(after) == (scan.reverse ? "b=2 a=kept end" : "a=kept b=2 end"));
    must(txn.rollback_to(mark));
    BOOST_TEST(rest_of(after) == "invalid_argument");
    must(txn.rollback());
  });
}

BOOST_AUTO_TEST_CASE(a_cursor_opened_before_a_savepoint_goes_on_and_yields_nothing_undone) {
  TempDatabase db(quick_options());
  const Keyspace& ks = db.keyspace();
  fill(db, {{"a", "1"}, {"b", "2"}, {"c", "3"}});
  in_every_mode([&](const TransactionOptions& options, const ScanOptions& scan) {
    Transaction txn = must(db->begin(options));
    must(txn.put(ks, "b", "own"));
    Cursor cursor = must(txn.cursor(ks, KeyRange::all(), scan));
    must(cursor.next());
    const Savepoint mark = must(txn.savepoint());
    must(txn.put(ks, "a", "undone"));
    must(txn.put(ks, "b", "undone"));
    must(txn.put(ks, "c", "undone"));
    must(txn.rollback_to(mark));
    BOOST_TEST(rest_of(cursor) == (scan.reverse ? "b=own a=1 end" : "b=own c=3 end"));
    must(txn.rollback());
  });
}

BOOST_AUTO_TEST_CASE(releasing_a_savepoint_leaves_cursors_to_the_one_around_it) {
  TempDatabase db(quick_options());
  const Keyspace& ks = db.keyspace();
  fill(db, {{"a", "1"}, {"b", "2"}});
  in_every_mode([&](const TransactionOptions& options, const ScanOptions& scan) {
    Transaction txn = must(db->begin(options));
    Cursor outside = must(txn.cursor(ks, KeyRange::all(), scan));
    const Savepoint outer = must(txn.savepoint());
    Cursor between = must(txn.cursor(ks, KeyRange::all(), scan));
    const Savepoint inner = must(txn.savepoint());
    Cursor inside = must(txn.cursor(ks, KeyRange::all(), scan));
    must(txn.release(inner));
    must(inside.next());
    must(between.next());
    must(txn.rollback_to(outer));
    BOOST_TEST(outcome(inside.next()) == "invalid_argument");
    BOOST_TEST(outcome(between.next()) == "invalid_argument");
    BOOST_TEST(rest_of(outside) == (scan.reverse ? "b=2 a=1 end" : "a=1 b=2 end"));
    must(txn.release(outer));
    must(txn.rollback());
  });
}

// The entries that were shown are known to the client, whatever came after them.
BOOST_AUTO_TEST_CASE(what_a_scan_has_shown_before_it_failed_is_validated) {
  for (const Where where : {Where::base, Where::both}) {
    for (const bool reverse : {false, true}) {
      for (const ReadMode read_mode : {ReadMode::plain, ReadMode::for_update}) {
        for (const std::string changed : {"b", "c"}) {
          TempDatabase db;
          const Keyspace& ks = db.keyspace();
          fill(db, {{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}});
          bring(db, where);
          ScanOptions options = mode(read_mode);
          options.reverse = reverse;
          Transaction txn = db.begin(Isolation::serializable);
          std::string shown;
          steps_until_failure = 2;
          const auto scanned =
              txn.scan(ks, KeyRange::all(), options,
                       [&](std::string_view key, std::string_view) { shown += key; });
          BOOST_TEST(steps_until_failure == 0);
          BOOST_TEST(outcome(scanned) == "io_error");
          BOOST_TEST(shown == (reverse ? "dc" : "ab"));
          BOOST_TEST(txn.active());
          must(txn.put(ks, "out", "1"));
          db.put(changed, "changed");
          const bool was_shown = shown.find(changed) != std::string::npos;
          BOOST_TEST(outcome(txn.commit()) == (was_shown ? "serialization_failure" : "ok"));
        }
      }
    }
  }
}

// What it is told of is what was seen: an observer that judges the history must not miss it.
BOOST_AUTO_TEST_CASE(a_scan_that_failed_is_told_as_far_as_it_got) {
  class Scans : public Observer {
   public:
    void on_scan(const EventTransaction&, const ScanEvent& event) override {
      told += event.observed.lower + ".." + event.observed.upper.value_or("") + " " +
              std::to_string(event.yielded) + (event.limited ? " limited" : "");
    }
    std::string told;
  };
  TempDatabase db;
  fill(db, {{"a", "1"}, {"b", "2"}, {"c", "3"}});
  bring(db, Where::base);
  const auto scans = std::make_shared<Scans>();
  db->add_observer(scans);
  Transaction txn = db.begin();
  steps_until_failure = 1;
  BOOST_TEST(outcome(txn.scan(db.keyspace(), KeyRange::from("a"),
                              [](std::string_view, std::string_view) {})) == "io_error");
  must(txn.rollback());
  db->remove_observer(scans);
  BOOST_TEST((scans->told == std::string("a..a\0 1 limited", 15)));
}

BOOST_AUTO_TEST_SUITE_END()
