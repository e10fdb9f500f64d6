// A named, ordered set of keys.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "isolde/types.h"

namespace isolde {

// The keyspace that exists in every database, used where none is named.
inline constexpr std::string_view default_keyspace_name = "default";

// A cheap, copyable name for a keyspace of one database. Stays valid after a drop: operations then
// answer keyspace_not_found. Thread-safe like any value.
class Keyspace {
 public:
  Keyspace(KeyspaceId id, std::string_view name)
      : id_(id), name_(std::make_shared<const std::string>(name)) {}
  // Moving copies: a name is a name, also where it was moved from.
  Keyspace(const Keyspace&) = default;
  Keyspace& operator=(const Keyspace&) = default;

  KeyspaceId id() const noexcept { return id_; }
  const std::string& name() const noexcept { return *name_; }

 private:
  KeyspaceId id_;
  std::shared_ptr<const std::string> name_;
};

}  // namespace isolde
