// Room for objects of which there are many: text that many have alike is kept once, and what few
// have takes no place in the others.
#pragma once

#include <memory>
#include <string>

#include <boost/flyweight.hpp>
#include <boost/flyweight/no_locking.hpp>

namespace vitalsd::kubernetes {

/// A name or reason that many objects share. Probe loop only.
using SharedText = boost::flyweight<std::string, boost::flyweights::no_locking>;

/// A value of its own, or none, in the room of a pointer.
template <class T>
class Boxed {
 public:
  Boxed() = default;
  ~Boxed() = default;
  Boxed(Boxed&&) noexcept = default;
  Boxed& operator=(Boxed&&) noexcept = default;
  Boxed(const Boxed& other) : value_(other ? std::make_unique<T>(*other) : nullptr) {}
  Boxed& operator=(const Boxed& other) {
    value_ = other ? std::make_unique<T>(*other) : nullptr;
    return *this;
  }

  /// Makes one if there is none.
  T& make() {
    if (!value_) value_ = std::make_unique<T>();
    return *value_;
  }
  explicit operator bool() const { return value_ != nullptr; }
  const T& operator*() const { return *value_; }
  const T* operator->() const { return value_.get(); }
  friend bool operator==(const Boxed& a, const Boxed& b) {
    return a && b ? *a == *b : static_cast<bool>(a) == static_cast<bool>(b);
  }

 private:
  std::unique_ptr<T> value_;
};

}  // namespace vitalsd::kubernetes
