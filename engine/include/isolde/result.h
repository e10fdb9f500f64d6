// Result<T>: a value or an Error, in the manner of C++23's std::expected.
#pragma once

#include <type_traits>
#include <utility>
#include <variant>

#include "isolde/error.h"

namespace isolde {

namespace detail {
// Ends the process with the error on stderr: value() of a failed Result is a programmer error.
[[noreturn]] void value_of_failed_result(const Error& error) noexcept;
[[noreturn]] void error_of_successful_result() noexcept;
}  // namespace detail

template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  template <typename U = T>
  requires(std::is_constructible_v<T, U&&> && !std::is_same_v<std::remove_cvref_t<U>, Error> &&
           !std::is_same_v<std::remove_cvref_t<U>, Result>)
      Result(U&& value)  // NOLINT(google-explicit-constructor)
      : state_(std::in_place_index<0>, std::forward<U>(value)) {}
  Result(Error error)  // NOLINT(google-explicit-constructor)
      : state_(std::in_place_index<1>, std::move(error)) {}

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  // Precondition: has_value(); otherwise the process ends with the error's text.
  T& value() & { return checked(); }
  const T& value() const& { return const_cast<Result*>(this)->checked(); }
  T&& value() && { return std::move(checked()); }
  T& operator*() & { return checked(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(checked()); }
  T* operator->() { return &checked(); }
  const T* operator->() const { return &value(); }

  template <typename U>
  T value_or(U&& fallback) const& {
    return has_value() ? **this : static_cast<T>(std::forward<U>(fallback));
  }

  // Precondition: !has_value().
  const Error& error() const {
    if (has_value()) detail::error_of_successful_result();
    return *std::get_if<1>(&state_);
  }

 private:
  T& checked() {
    if (!has_value()) detail::value_of_failed_result(*std::get_if<1>(&state_));
    return *std::get_if<0>(&state_);
  }

  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool has_value() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }
  void value() const {
    if (error_) detail::value_of_failed_result(*error_);
  }
  const Error& error() const {
    if (!error_) detail::error_of_successful_result();
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace isolde
