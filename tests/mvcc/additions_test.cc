// add and add_and_get (C6): what is answered, what is computed at commit, what is depended on.
#include <limits>

#include "tests/mvcc/contents.h"
#include "tests/mvcc/phenomena.h"

using namespace isolde;
using namespace isolde::test;

namespace {

constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();

template <typename Body>
void at_every_level(Body&& body) {
  for (const Isolation level : all_levels) {
    for (const Locking locking : {Locking::optimistic, Locking::pessimistic}) {
      BOOST_TEST_CONTEXT(name(level) << ' ' << name(locking)) { body(level, locking); }
    }
  }
}

std::string conflict_at(Isolation level) {
  return level == Isolation::serializable ? "serialization_failure" : "write_conflict";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(additions)

BOOST_AUTO_TEST_CASE(blind_additions_of_two_all_count_and_conflict_at_repeatable_read_only) {
  for (const Where where : everywhere) {
    for (const Isolation level : all_levels) {
      TempDatabase db(quick_options());
      db.put("n", "100");
      bring(db, where);
      Transaction a = db.begin(level, "a");
      Transaction b = db.begin(level, "b");
      must(a.add(db.keyspace(), "n", 1));
      must(b.add(db.keyspace(), "n", 10));
      must(a.add(db.keyspace(), "n", 2));
      must(a.commit());
      const bool conflicts = level == Isolation::repeatable_read;
      BOOST_TEST(outcome(b.commit()) == (conflicts ? "write_conflict" : "ok"));
      BOOST_TEST(text(db.get("n")) == (conflicts ? "103" : "113"));
    }
  }
}

// Issue 13, defect 5: two clients that both hold ticket 1.
BOOST_AUTO_TEST_CASE(what_add_and_get_answered_is_committed_or_nothing_is) {
  for (const Where where : everywhere) {
    for (const Isolation level : all_levels) {
      TempDatabase db(quick_options());
      db.put("n", "0");
      bring(db, where);
      Transaction a = db.begin(level, "a");
      Transaction b = db.begin(level, "b");
      BOOST_TEST(must(a.add_and_get(db.keyspace(), "n", 1)) == 1);
      BOOST_TEST(must(b.add_and_get(db.keyspace(), "n", 1)) == 1);
      must(a.commit());
      const auto second = b.commit();
      BOOST_TEST(outcome(second) == conflict_at(level));
      if (!second) {
        BOOST_TEST(is_retryable(second.error()));
        BOOST_TEST(*second.error().evidence().key == "n");
        BOOST_TEST(second.error().evidence().culprit->label == "a");
      }
      BOOST_TEST(text(db.get("n")) == "1");
    }
  }
}

BOOST_AUTO_TEST_CASE(add_and_get_depends_on_what_it_read_however_it_is_written) {
  for (const Isolation level : all_levels) {
    TempDatabase db(quick_options());
    const Keyspace& ks = db.keyspace();
    for (const bool absent : {false, true}) {
      for (const std::string how : {"put", "add", "erase", "same value"}) {
        db.put("n", "5");
        if (absent) db.erase("n");
        Transaction txn = db.begin(level);
        BOOST_TEST(must(txn.add_and_get(ks, "n", 1)) == (absent ? 1 : 6));
        Transaction other = db.begin(Isolation::read_committed);
        if (how == "put") must(other.put(ks, "n", "7"));
        if (how == "add") must(other.add(ks, "n", 0));
        if (how == "erase") must(other.erase(ks, "n"));
        if (how == "same value") must(other.put(ks, "n", "5"));
        must(other.commit());
        BOOST_TEST(outcome(txn.commit()) == conflict_at(level), how);
      }
    }
  }
}

// Its write is undone; what it answered is not unlearnt (W4).
BOOST_AUTO_TEST_CASE(savepoints_undo_adds_and_keep_what_add_and_get_answered) {
  TempDatabase db(quick_options());
  const Keyspace& ks = db.keyspace();
  at_every_level([&](Isolation level, Locking locking) {
    fill(db, {{"m", "1"}, {"n", "10"}, {"text", "t"}});
    db.erase("out");
    Transaction txn = must(db->begin(at(level, "", locking)));
    must(txn.add(ks, "n", 1));
    const Savepoint mark = must(txn.savepoint());
    must(txn.add(ks, "n", 100));
    must(txn.add(ks, "text", 1));
    BOOST_TEST(must(txn.add_and_get(ks, "n", 1000)) == 1111);
    BOOST_TEST(must(txn.add_and_get(ks, "m", 1)) == 2);
    must(txn.rollback_to(mark));
    BOOST_TEST(text(get(txn, ks, "n")) == "11");
    BOOST_TEST(text(get(txn, ks, "m")) == "1");
    must(txn.put(ks, "out", "1"));
    if (locking == Locking::optimistic) {
      db.put("m", "2");
      BOOST_TEST(outcome(txn.commit()) == conflict_at(level));
    } else {
      must(txn.commit());
      BOOST_TEST(text(db.get("n")) == "11");
    }
  });
}

BOOST_AUTO_TEST_CASE(a_pending_add_shows_the_newest_value_of_the_level_and_the_sum) {
  for (const Where where : everywhere) {
    for (const Isolation level : all_levels) {
      TempDatabase db(quick_options());
      const Keyspace& ks = db.keyspace();
      db.put("n", "10");
      bring(db, where);
      Transaction txn = db.begin(level);
      must(txn.add(ks, "n", 1));
      BOOST_TEST(text(get(txn, ks, "n")) == "11");
      BOOST_TEST(scan(txn, ks, KeyRange::all()) == "n=11");
      db.put("n", "20");
      const bool newest = level <= Isolation::read_committed;
      BOOST_TEST(text(get(txn, ks, "n")) == (newest ? "21" : "11"));
      BOOST_TEST(scan(txn, ks, KeyRange::all()) == (newest ? "n=21" : "n=11"));
      must(txn.add(ks, "new", -3));
      BOOST_TEST(text(get(txn, ks, "new")) == "-3");
      // Having seen it, a serializable one depends on what lay under its add.
      BOOST_TEST(outcome(txn.commit()) == (newest ? "ok" : conflict_at(level)));
      BOOST_TEST(text(db.get("n")) == (newest ? "21" : "20"));
    }
  }
}

// By every way to look, and by operations that look first.
BOOST_AUTO_TEST_CASE(at_serializable_a_look_at_an_own_add_depends_on_what_lay_below) {
  TempDatabase db(quick_options());
  const Keyspace& ks = db.keyspace();
  const std::vector<std::function<void(Transaction&)>> looks{
      [&](Transaction& txn) { must(txn.get(ks, "n")); },
      [&](Transaction& txn) { must(txn.get_for_update(ks, "n")); },
      [&](Transaction& txn) { scan(txn, ks, KeyRange::prefix("n")); },
      [&](Transaction& txn) {
        Cursor cursor = must(txn.cursor(ks, KeyRange::all()));
        must(cursor.next());
      },
      [&](Transaction& txn) { BOOST_TEST(outcome(txn.insert(ks, "n", "1")) == "already_exists"); },
      [&](Transaction& txn) {
        BOOST_TEST(outcome(txn.compare_and_set(ks, "n", "x", "1")) == "compare_failed");
      },
      [&](Transaction& txn) { must(txn.compare_and_set(ks, "n", "11", "1")); },
      [&](Transaction& txn) { must(txn.add_and_get(ks, "n", 1)); },
  };
  for (const auto& look : looks) {
    db.put("n", "10");
    Transaction txn = db.begin(Isolation::serializable);
    must(txn.add(ks, "n", 1));
    look(txn);
    db.put("n", "10");
    BOOST_TEST(outcome(txn.commit()) == "serialization_failure");
  }
  db.put("n", "10");
  Transaction blind = db.begin(Isolation::serializable);
  must(blind.add(ks, "n", 1));
  must(blind.get(ks, "n", {.tracked = false}));
  db.put("n", "30");
  must(blind.commit());
  BOOST_TEST(text(db.get("n")) == "31");
}

BOOST_AUTO_TEST_CASE(an_add_to_no_integer_fails_at_commit_and_is_not_retried) {
  TempDatabase db(quick_options());
  const Keyspace& ks = db.keyspace();
  for (const std::string value : {"ten", "", "1 ", "0x1", "+1", "9223372036854775808"}) {
    for (const Where where : everywhere) {
      at_every_level([&](Isolation level, Locking locking) {
        db.put("n", value);
        bring(db, where);
        TransactionOptions options = at(level, "adder", locking);
        options.retry.base_delay = options.retry.max_delay = std::chrono::microseconds(0);
        int runs = 0;
        const auto done = db->transact(options, [&](Transaction& txn) -> Result<void> {
          ++runs;
          must(txn.add(ks, "n", 1));
          BOOST_TEST(text(get(txn, ks, "n")) == value);
          BOOST_TEST(scan(txn, ks, KeyRange::all()) == "n=" + value);
          return {};
        });
        BOOST_TEST(outcome(done) == "write_conflict");
        BOOST_TEST(runs == 1);
        if (done) return;
        const Error& error = done.error();
        BOOST_TEST(error.evidence().is_lasting);
        BOOST_TEST(!is_retryable(error));
        BOOST_TEST(is_retryable(error.code()));
        BOOST_TEST(error.evidence().reason.find("no decimal integer") != std::string::npos);
        BOOST_TEST(error.evidence().reason.find(isolde::quoted(value)) != std::string::npos);
        BOOST_TEST(error.message().find(error.evidence().reason) != std::string::npos);
        BOOST_TEST(*error.evidence().key == "n");
        BOOST_TEST(error.evidence().self->label == "adder");
        BOOST_TEST(text(db.get("n")) == value);
      });
    }
  }
}

BOOST_AUTO_TEST_CASE(a_sum_that_does_not_fit_fails_at_commit_and_is_not_retried) {
  TempDatabase db(quick_options());
  const Keyspace& ks = db.keyspace();
  at_every_level([&](Isolation level, Locking locking) {
    for (const auto& [value, delta] : {std::pair(most, std::int64_t{1}), std::pair(least, -most),
                                       std::pair(least, std::int64_t{-1})}) {
      db.put("n", std::to_string(value));
      Transaction txn = must(db->begin(at(level, "", locking)));
      must(txn.add(ks, "n", delta));
      const auto done = txn.commit();
      BOOST_TEST(outcome(done) == "write_conflict");
      BOOST_TEST(!txn.active());
      if (!done) BOOST_TEST(done.error().evidence().is_lasting);
      if (!done) {
        BOOST_TEST(done.error().evidence().reason.find("does not fit") != std::string::npos);
      }
    }
    db.put("n", std::to_string(least));
    Transaction txn = must(db->begin(at(level, "", locking)));
    must(txn.add(ks, "n", most));
    must(txn.commit());
    BOOST_TEST(text(db.get("n")) == "-1");
  });
}

// A value that another has made no integer since is not there for ever: but the add does not know.
BOOST_AUTO_TEST_CASE(the_newest_value_decides_whatever_the_snapshot_shows) {
  TempDatabase db(quick_options());
  const Keyspace& ks = db.keyspace();
  for (const Isolation level : all_levels) {
    db.put("n", "1");
    Transaction fails = db.begin(level);
    must(fails.add(ks, "n", 1));
    Transaction works = db.begin(level);
    must(works.add(ks, "n", 1));
    db.put("n", "ten");
    const auto failed = fails.commit();
    BOOST_TEST(outcome(failed) == "write_conflict");
    // At repeatable read it is an ordinary conflict first, and the next attempt meets the value.
    const bool ordinary = level == Isolation::repeatable_read;
    if (!failed) BOOST_TEST(failed.error().evidence().is_lasting == !ordinary);
    db.put("n", "10");
    BOOST_TEST(outcome(works.commit()) == (ordinary ? "write_conflict" : "ok"));
    BOOST_TEST(text(db.get("n")) == (ordinary ? "10" : "11"));
  }
}

BOOST_AUTO_TEST_CASE(add_and_get_refuses_what_is_no_integer_at_its_step) {
  TempDatabase db(quick_options());
  const Keyspace& ks = db.keyspace();
  fill(db, {{"text", "ten"}, {"most", std::to_string(most)}, {"tail", "1 "}, {"empty", ""}});
  at_every_level([&](Isolation level, Locking locking) {
    Transaction txn = must(db->begin(at(level, "", locking)));
    BOOST_TEST(must(txn.add_and_get(ks, "none", -7)) == -7);
    for (const char* key : {"text", "most", "tail", "empty"}) {
      const auto refused = txn.add_and_get(ks, key, 1);
      BOOST_TEST(outcome(refused) == "invalid_argument", key);
      if (!refused) BOOST_TEST(refused.error().message().find(key) != std::string::npos);
    }
    BOOST_TEST(must(txn.add_and_get(ks, "most", -1)) == most - 1);
    BOOST_TEST(must(txn.add_and_get(ks, "most", 1)) == most);
    BOOST_TEST(outcome(txn.add_and_get(ks, "most", 1)) == "invalid_argument");
    must(txn.rollback());
  });
}

// What is its own is known, and refused at once.
BOOST_AUTO_TEST_CASE(an_add_on_an_own_write_is_a_sum_at_its_step) {
  TempDatabase db(quick_options());
  const Keyspace& ks = db.keyspace();
  at_every_level([&](Isolation level, Locking locking) {
    fill(db, {{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}});
    db.erase("e");
    Transaction txn = must(db->begin(at(level, "", locking)));
    must(txn.put(ks, "a", "10"));
    must(txn.add(ks, "a", 5));
    BOOST_TEST(text(get(txn, ks, "a")) == "15");
    BOOST_TEST(must(txn.add_and_get(ks, "a", 5)) == 20);
    must(txn.erase(ks, "b"));
    must(txn.add(ks, "b", 5));
    BOOST_TEST(text(get(txn, ks, "b")) == "5");
    must(txn.put(ks, "c", "three"));
    BOOST_TEST(outcome(txn.add(ks, "c", 1)) == "invalid_argument");
    BOOST_TEST(outcome(txn.add_and_get(ks, "c", 1)) == "invalid_argument");
    BOOST_TEST(text(get(txn, ks, "c")) == "three");
    must(txn.put(ks, "d", std::to_string(most)));
    BOOST_TEST(outcome(txn.add(ks, "d", 1)) == "invalid_argument");
    must(txn.insert(ks, "e", "1"));
    must(txn.add(ks, "e", 1));
    must(txn.add(ks, "f", most));
    BOOST_TEST(outcome(txn.add(ks, "f", 1)) == "invalid_argument");  // not even together
    must(txn.put(ks, "f", "0"));
    must(txn.erase(ks, "f"));
    must(txn.commit());
    BOOST_TEST(text(db.contents()) == "a=20 b=5 c=three d=" + std::to_string(most) + " e=2");
  });
}

// Own values alone are read from nowhere.
BOOST_AUTO_TEST_CASE(add_and_get_on_an_own_write_depends_on_nothing_else) {
  TempDatabase db(quick_options());
  const Keyspace& ks = db.keyspace();
  for (const Isolation level : all_levels) {
    db.put("n", "1");
    Transaction txn = db.begin(level);
    must(txn.put(ks, "n", "5"));
    BOOST_TEST(must(txn.add_and_get(ks, "n", 1)) == 6);
    db.put("n", "9");
    const bool blind = level != Isolation::repeatable_read;
    BOOST_TEST(outcome(txn.commit()) == (blind ? "ok" : "write_conflict"));
  }
}

// At read uncommitted it adds to what is committed: the rest may never be.
BOOST_AUTO_TEST_CASE(add_and_get_never_adds_to_another_s_uncommitted_value) {
  TempDatabase db(quick_options());
  const Keyspace& ks = db.keyspace();
  db.put("n", "0");
  Transaction other = db.begin();
  must(other.put(ks, "n", "5"));
  Transaction txn = db.begin(Isolation::read_uncommitted);
  BOOST_TEST(text(get(txn, ks, "n")) == "5");
  BOOST_TEST(must(txn.add_and_get(ks, "n", 1)) == 1);
  must(other.rollback());
  must(txn.commit());
  BOOST_TEST(text(db.get("n")) == "1");
}

BOOST_AUTO_TEST_CASE(compare_and_set_after_an_own_add_depends_on_what_it_was_added_to) {
  TempDatabase db(quick_options());
  const Keyspace& ks = db.keyspace();
  for (const Isolation level : all_levels) {
    db.put("n", "5");
    Transaction a = db.begin(level);
    must(a.add(ks, "n", 1));
    must(a.compare_and_set(ks, "n", "6", "60"));
    db.put("n", "50");
    BOOST_TEST(outcome(a.commit()) == conflict_at(level));
    Transaction b = db.begin(level);
    must(b.add(ks, "n", 1));
    must(b.compare_and_set(ks, "n", "51", "60"));
    must(b.commit());
    BOOST_TEST(text(db.get("n")) == "60");
    // Over what is no integer it shows nothing, and what was compared is what lies there.
    db.put("n", "ten");
    Transaction c = db.begin(level);
    must(c.add(ks, "n", 1));
    must(c.compare_and_set(ks, "n", "ten", "60"));
    must(c.commit());
    BOOST_TEST(text(db.get("n")) == "60");
  }
}

BOOST_AUTO_TEST_CASE(a_pessimist_s_add_and_get_waits_and_answers_the_newest) {
  for (const Isolation level : all_levels) {
    for (const bool asks : {false, true}) {
      TempDatabase db(quick_options());
      db.put("n", "0");
      const auto stage = std::make_shared<Stage>(2);
      db->add_observer(stage);
      std::optional<Transaction> a(must(db->begin(at(level, "a", Locking::pessimistic))));
      std::optional<Transaction> b(must(db->begin(at(level, "b", Locking::pessimistic))));
      std::string first, second;
      stage->run(0, [&] {
        const auto sum = a->add_and_get(db.keyspace(), "n", 1);
        first = sum ? std::to_string(*sum) : outcome(sum);
      });
      stage->run(1, [&] {
        if (!asks) {
          second = outcome(b->add(db.keyspace(), "n", 1));
          return;
        }
        const auto sum = b->add_and_get(db.keyspace(), "n", 1);
        second = sum ? std::to_string(*sum) : outcome(sum);
      });
      BOOST_TEST(stage->is_blocked(1));
      stage->run(0, [&] { static_cast<void>(a->commit()); });
      stage->run(1, [&] { static_cast<void>(b->commit()); });
      BOOST_TEST(first == "1");
      BOOST_TEST(second == (asks ? "2" : "ok"));
      a.reset();
      b.reset();
      db->remove_observer(stage);
      BOOST_TEST(text(db.get("n")) == "2");
    }
  }
}

// An optimist's blind add counts also where it has to lock for its commit, and waits.
BOOST_AUTO_TEST_CASE(a_blind_add_that_met_a_lock_is_computed_after_the_wait) {
  for (const Isolation level :
       {Isolation::read_uncommitted, Isolation::read_committed, Isolation::serializable}) {
    TempDatabase db(quick_options());
    db.put("n", "0");
    const auto stage = std::make_shared<Stage>(2);
    db->add_observer(stage);
    std::optional<Transaction> holder(
        must(db->begin(at(Isolation::read_committed, "holder", Locking::pessimistic))));
    std::optional<Transaction> adder(must(db->begin(at(level, "adder"))));
    stage->run(0, [&] { static_cast<void>(holder->put(db.keyspace(), "n", "10")); });
    std::string committed;
    stage->run(1, [&] {
      static_cast<void>(adder->add(db.keyspace(), "n", 1));
      committed = outcome(adder->commit());
    });
    BOOST_TEST(stage->is_blocked(1));
    stage->run(0, [&] { static_cast<void>(holder->commit()); });
    stage->run(1, [] {});
    BOOST_TEST(committed == "ok");
    holder.reset();
    adder.reset();
    db->remove_observer(stage);
    BOOST_TEST(text(db.get("n")) == "11");
  }
}

BOOST_AUTO_TEST_CASE(observers_hear_a_blind_add_by_its_number_and_the_others_by_what_they_read) {
  class Lines : public Observer {
   public:
    void on_read(const EventTransaction&, const ReadEvent& event) override {
      told += "read " + std::string(event.version.value.value_or("absent")) +
              (event.version.commit ? " committed" : "") + (event.before_write ? " first" : "") +
              "; ";
    }
    void on_write(const EventTransaction&, const WriteEvent& event) override {
      told += (event.kind == WriteKind::add           ? "add "
               : event.kind == WriteKind::add_and_get ? "add_and_get "
                                                      : "write ") +
              (event.delta ? std::to_string(*event.delta) : "") + "=" +
              std::string(event.value.value_or("")) + "; ";
    }
    std::string told;
  };
  TempDatabase db;
  const Keyspace& ks = db.keyspace();
  db.put("n", "10");
  const auto lines = std::make_shared<Lines>();
  db->add_observer(lines);
  Transaction txn = db.begin(Isolation::read_committed);
  must(txn.add(ks, "n", 1));
  must(txn.get(ks, "n"));
  scan(txn, ks, KeyRange::all());
  must(txn.add_and_get(ks, "n", 1));
  must(txn.add(ks, "n", 1));
  must(txn.rollback());
  db->remove_observer(lines);
  BOOST_TEST(lines->told ==
             "add 1=; read 10 committed; read 10 committed; read 10 committed first; "
             "add_and_get 1=12; add 1=13; ");
}

BOOST_AUTO_TEST_CASE(additions_survive_a_kill_with_their_sums) {
  TempDatabase db;
  const Keyspace& ks = db.keyspace();
  for (const Isolation level : all_levels) {
    for (int i = 0; i < 3; ++i) {
      Transaction txn = db.begin(level);
      must(txn.add(ks, "n", 1));
      must(txn.add_and_get(ks, "m", 10));
      must(txn.commit());
    }
  }
  db.kill_and_reopen();
  BOOST_TEST(text(db.contents()) == "m=120 n=12");
}

BOOST_AUTO_TEST_SUITE_END()
