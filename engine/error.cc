#include "isolde/error.h"

#include <utility>

namespace isolde {

struct Error::Detail {
  std::string message;
  Evidence evidence;
};

Error::Error(ErrorCode code, std::string message, Evidence evidence)
    : code_(code),
      detail_(std::make_shared<const Detail>(Detail{std::move(message), std::move(evidence)})) {}

const std::string& Error::message() const noexcept { return detail_->message; }
const Evidence& Error::evidence() const noexcept { return detail_->evidence; }

std::string Error::to_string() const { return std::string(name(code_)) + ": " + message(); }

Error Error::with_attempts(std::uint32_t attempts) const {
  Evidence evidence = detail_->evidence;
  evidence.attempts = attempts;
  return {code_, detail_->message, std::move(evidence)};
}

std::string_view name(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::write_conflict:
      return "write_conflict";
    case ErrorCode::serialization_failure:
      return "serialization_failure";
    case ErrorCode::deadlock:
      return "deadlock";
    case ErrorCode::snapshot_too_old:
      return "snapshot_too_old";
    case ErrorCode::cancelled:
      return "cancelled";
    case ErrorCode::commit_outcome_unknown:
      return "commit_outcome_unknown";
    case ErrorCode::database_failed:
      return "database_failed";
    case ErrorCode::transaction_finished:
      return "transaction_finished";
    case ErrorCode::lock_timeout:
      return "lock_timeout";
    case ErrorCode::lock_not_available:
      return "lock_not_available";
    case ErrorCode::already_exists:
      return "already_exists";
    case ErrorCode::compare_failed:
      return "compare_failed";
    case ErrorCode::too_many_locks:
      return "too_many_locks";
    case ErrorCode::key_empty:
      return "key_empty";
    case ErrorCode::key_too_long:
      return "key_too_long";
    case ErrorCode::value_too_large:
      return "value_too_large";
    case ErrorCode::transaction_too_large:
      return "transaction_too_large";
    case ErrorCode::keyspace_not_found:
      return "keyspace_not_found";
    case ErrorCode::keyspace_busy:
      return "keyspace_busy";
    case ErrorCode::read_only:
      return "read_only";
    case ErrorCode::invalid_argument:
      return "invalid_argument";
    case ErrorCode::disk_full:
      return "disk_full";
    case ErrorCode::out_of_memory:
      return "out_of_memory";
    case ErrorCode::database_in_use:
      return "database_in_use";
    case ErrorCode::corruption:
      return "corruption";
    case ErrorCode::not_a_database:
      return "not_a_database";
    case ErrorCode::permission_denied:
      return "permission_denied";
    case ErrorCode::io_error:
      return "io_error";
    case ErrorCode::format_unsupported:
      return "format_unsupported";
  }
  return "unknown";
}

bool is_retryable(ErrorCode code) noexcept { return code <= ErrorCode::snapshot_too_old; }
bool is_retryable(const Error& error) noexcept {
  return is_retryable(error.code()) && !error.evidence().is_lasting;
}
bool ends_transaction(ErrorCode code) noexcept { return code <= ErrorCode::transaction_finished; }

std::string quoted(std::string_view key) {
  constexpr std::size_t shown_bytes = 64;
  std::string text = "'";
  for (const char c : key.substr(0, shown_bytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\\' || c == '\'') {
      text += '\\';
      text += c;
    } else if (byte < 0x20 || byte >= 0x7f) {
      constexpr std::string_view digits = "0123456789abcdef";
      text += "\\x";
      text += digits[byte >> 4];
      text += digits[byte & 0xf];
    } else {
      text += c;
    }
  }
  text += '\'';
  if (key.size() > shown_bytes) text += "... (" + std::to_string(key.size()) + " bytes)";
  return text;
}

}  // namespace isolde
