// Makes "belongs to one thread" executable.
#pragma once

#include <cassert>
#include <thread>

namespace fetchd::server {

// Remembers a thread. Objects owned by one thread keep one and assert IsCurrent() at their door.
class OwnerThread {
 public:
  OwnerThread() : id_(std::this_thread::get_id()) {}
  // Takes over for the calling thread, before the object is used.
  void Adopt() { id_ = std::this_thread::get_id(); }
  bool IsCurrent() const { return id_ == std::this_thread::get_id(); }

 private:
  std::thread::id id_;
};

}  // namespace fetchd::server
