// Writes a history of many transactions, for measuring `isolde check`: sessions that run at the
// same time, two reads and two writes each, serializable and recorded as the engine would.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

namespace {

struct Open {
  std::uint64_t id = 0;
  std::uint64_t keys[4] = {};
  int step = 0;
};

class Generator {
 public:
  Generator(std::uint64_t transactions, std::uint64_t keys)
      : transactions_(transactions), writers_(keys), busy_(keys) {}

  void run() {
    line("{\"event\":\"history\",\"version\":1}");
    std::vector<Open> sessions(16);
    std::uint64_t ended = 0;
    while (ended < transactions_) {
      const std::size_t session = random_() % sessions.size();
      Open& open = sessions[session];
      if (open.id == 0) {
        if (begun_ < transactions_) begin(open, session);
      } else if (advance(open)) {
        ++ended;
      }
    }
    std::fwrite(text_.data(), 1, text_.size(), stdout);
  }

 private:
  // Takes its keys as locks would: draws again while a key is busy.
  void begin(Open& open, std::size_t session) {
    for (std::uint64_t& key : open.keys) {
      do key = random_() % writers_.size();
      while (busy_[key] != 0);
      busy_[key] = 1;
    }
    open.id = ++begun_;
    open.step = 0;
    line("{\"event\":\"begin\",\"txn\":" + std::to_string(open.id) + ",\"session\":\"S" +
         std::to_string(session) + "\",\"level\":\"serializable\",\"locking\":\"optimistic\"}");
  }

  // One operation, or the commit; true if that was it.
  bool advance(Open& open) {
    const std::string txn = ",\"txn\":" + std::to_string(open.id);
    if (open.step == 4) {
      line("{\"event\":\"commit\"" + txn + ",\"ts\":" + std::to_string(++timestamp_) + "}");
      for (const std::uint64_t key : open.keys) busy_[key] = 0;
      writers_[open.keys[2]] = writers_[open.keys[3]] = open.id;
      open.id = 0;
      return true;
    }
    const std::uint64_t key = open.keys[open.step];
    const std::string named = txn + ",\"key\":\"key" + std::to_string(key) + "\"";
    if (open.step < 2) {
      line("{\"event\":\"read\"" + named + ",\"from\":" + std::to_string(writers_[key]) + "}");
    } else {
      line("{\"event\":\"write\"" + named + "}");
    }
    ++open.step;
    return false;
  }

  void line(const std::string& text) {
    text_ += text + '\n';
    if (text_.size() < (1U << 20)) return;
    std::fwrite(text_.data(), 1, text_.size(), stdout);
    text_.clear();
  }

  std::uint64_t transactions_;
  std::vector<std::uint64_t> writers_;
  std::vector<std::uint8_t> busy_;
  std::mt19937_64 random_{1};
  std::uint64_t begun_ = 0;
  std::uint64_t timestamp_ = 0;
  std::string text_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: isolde_generate_history TRANSACTIONS [KEYS]\n", stderr);
    return 2;
  }
  const std::uint64_t transactions = std::strtoull(argv[1], nullptr, 10);
  const std::uint64_t keys = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 100'000;
  if (keys < 1000) {
    std::fputs("at least 1000 keys\n", stderr);
    return 2;
  }
  Generator(transactions, keys).run();
}
