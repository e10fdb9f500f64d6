#include "bench/run/subject_process.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <type_traits>

namespace isolde::bench {
namespace {

static_assert(std::is_trivially_copyable_v<Answer>);

bool send_all(int socket, const void* data, std::size_t bytes) {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t sent = ::send(socket, at, bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    at += sent;
    bytes -= static_cast<std::size_t>(sent);
  }
  return true;
}

bool receive_all(int socket, void* data, std::size_t bytes) {
  char* at = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t received = ::recv(socket, at, bytes, 0);
    if (received < 0 && errno == EINTR) continue;
    if (received <= 0) return false;
    at += received;
    bytes -= static_cast<std::size_t>(received);
  }
  return true;
}

void set_message(Answer& answer, const std::string& message) {
  const std::size_t length = std::min(message.size(), sizeof answer.message - 1);
  std::memcpy(answer.message, message.data(), length);
  answer.message[length] = '\0';
}

}  // namespace

// The child is a fork: what was static or made before it lies at the same place there.
struct SubjectProcess::Request {
  const Subject* subject;
  Parameters work;
  double seconds;
  std::uint64_t seed;
  bool check;
};

SubjectProcess::SubjectProcess(const std::string& engine, const Parameters& work,
                               std::filesystem::path directory)
    : directory_(std::move(directory)) {
  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
    loaded_ = ended(std::string("no socket: ") + std::strerror(errno));
    has_loaded_ = true;
    return;
  }
  pid_ = ::fork();
  if (pid_ == 0) {
    ::close(sockets[0]);
    serve(engine, work, directory_, sockets[1]);
  }
  ::close(sockets[1]);
  socket_ = sockets[0];
  if (pid_ < 0) {
    loaded_ = ended(std::string("no process: ") + std::strerror(errno));
    has_loaded_ = true;
  }
}

SubjectProcess::~SubjectProcess() {
  if (socket_ >= 0) ::close(socket_);
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);  // what it stored is thrown away: no need to close it well
    ::waitpid(pid_, nullptr, 0);
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void SubjectProcess::answer_request(const Store& store, const std::filesystem::path& directory,
                                    const Request& request, Answer& answer) {
  answer = Answer{};
  const Subject& subject = *request.subject;
  Engine& engine = *store.engine;
  Dataset& dataset = *store.dataset;
  try {
    answer.turn =
        bench::take_turn(store, request.work, subject.mode, request.seconds, request.seed);
    answer.turn.disk_bytes = allocated_bytes(directory);
    std::string wrong;
    if (subject.promise.starts_with("serializable") && answer.turn.anomalies != 0) {
      wrong = std::to_string(answer.turn.anomalies) + " anomalies at serializable";
    }
    dataset.mend(*engine.client(subject.mode));
    if (request.check && wrong.empty()) wrong = dataset.check(*engine.client(subject.mode));
    answer.ok = wrong.empty();
    set_message(answer, wrong);
  } catch (const std::exception& error) {
    set_message(answer, error.what());
  }
}

void SubjectProcess::serve(const std::string& engine, const Parameters& work,
                           const std::filesystem::path& directory, int socket) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::signal(SIGINT, SIG_IGN);  // the parent's business
  static Answer answer;
  try {
    const Store store = load_store(engine, work, directory);
    answer.ok = true;
    set_message(answer, store.engine->configuration());
    if (!send_all(socket, &answer, sizeof answer)) ::_exit(1);
    Request request{};
    while (receive_all(socket, &request, sizeof request)) {
      answer_request(store, directory, request, answer);
      if (!send_all(socket, &answer, sizeof answer)) ::_exit(1);
    }
  } catch (const std::exception& error) {
    answer = Answer{};
    set_message(answer, error.what());
    send_all(socket, &answer, sizeof answer);
  }
  ::_exit(0);
}

const Answer& SubjectProcess::loaded() {
  if (!has_loaded_) {
    loaded_ = receive(1800);
    has_loaded_ = true;
  }
  return loaded_;
}

Answer SubjectProcess::take_turn(const Subject& subject, const Parameters& work, double seconds,
                                 std::uint64_t seed, bool check) {
  if (!loaded().ok) return loaded_;
  const Request request{&subject, work, seconds, seed, check};
  if (!send_all(socket_, &request, sizeof request)) {
    loaded_ = ended("its process is gone");
    return loaded_;
  }
  return receive(10 * seconds + 90);
}

Answer SubjectProcess::receive(double patience_seconds) {
  pollfd waiting{socket_, POLLIN, 0};
  const auto end = std::chrono::steady_clock::now() +
                   std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                       std::chrono::duration<double>(patience_seconds));
  int ready = 0;
  do {
    ready = ::poll(&waiting, 1, 1000);
  } while (ready <= 0 && std::chrono::steady_clock::now() < end);
  if (ready <= 0) {
    loaded_ = ended("it gave no answer in " + std::to_string(static_cast<int>(patience_seconds)) +
                    " s and was stopped");
    return loaded_;
  }
  Answer answer;
  if (receive_all(socket_, &answer, sizeof answer)) return answer;
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  std::string why = "its process ended";
  if (WIFSIGNALED(status)) why.append(": ").append(::strsignal(WTERMSIG(status)));
  if (WIFEXITED(status)) why.append(" with status " + std::to_string(WEXITSTATUS(status)));
  loaded_ = ended(why);
  return loaded_;
}

// No more turns; what it says now it says to all that would have been its own.
Answer SubjectProcess::ended(const std::string& why) {
  Answer answer;
  set_message(answer, why);
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  has_loaded_ = true;
  return answer;
}

}  // namespace isolde::bench
