// An engine in a process of its own.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "bench/engines/subject.h"
#include "bench/run/store.h"
#include "bench/run/turn.h"

namespace isolde::bench {

// What came back: figures, or why there are none.
struct Answer {
  bool ok = false;
  char message[1024] = "";  // why not; or the configuration
  TurnResult turn;
};

// A store that is loaded, measured and thrown away in a child process. So the memory, the processor
// time and the bytes written are its own; an engine that aborts, hangs or fills the disk takes no
// other down; and no engine's background threads run in another one's process.
//
// Thread safety: for one thread; and no other threads may run in the parent when one is made.
class SubjectProcess {
 public:
  // Opens the engine in the new directory and loads the dataset of `work`; see loaded().
  SubjectProcess(const std::string& engine, const Parameters& work,
                 std::filesystem::path directory);
  SubjectProcess(const SubjectProcess&) = delete;
  SubjectProcess& operator=(const SubjectProcess&) = delete;
  // Ends the process, and removes what it stored.
  ~SubjectProcess();

  // Waits until the data is there. The first answer's message is the configuration.
  const Answer& loaded();
  // One turn; then, if `check`, reads what is stored and holds it against what was committed.
  Answer take_turn(const Subject& subject, const Parameters& work, double seconds,
                   std::uint64_t seed, bool check);

 private:
  struct Request;
  static void answer_request(const Store& store, const std::filesystem::path& directory,
                             const Request& request, Answer& answer);
  [[noreturn]] static void serve(const std::string& engine, const Parameters& work,
                                 const std::filesystem::path& directory, int socket);
  // Waits for an answer, or for the process to end, or too long.
  Answer receive(double patience_seconds);
  Answer ended(const std::string& why);

  std::filesystem::path directory_;
  pid_t pid_ = -1;
  int socket_ = -1;
  bool has_loaded_ = false;
  Answer loaded_;
};

}  // namespace isolde::bench
