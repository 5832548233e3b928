// Room for objects of which there are many: text that many have alike is kept once, and what few
// have takes no place in the others.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <boost/flyweight.hpp>
#include <boost/flyweight/no_locking.hpp>

namespace vitalsd::kubernetes {

/// A name or reason that many objects share. Probe loop only.
class SharedText {
 public:
  SharedText() : value_(none()) {}
  explicit SharedText(std::string_view text)
      : value_(text.empty() ? none() : Value(std::string(text))) {}

  [[nodiscard]] const std::string& get() const { return value_.get(); }
  bool operator==(const SharedText&) const = default;

 private:
  using Value = boost::flyweight<std::string, boost::flyweights::no_locking>;

  // Most have no text: to share it, they need not look it up.
  static const Value& none() {
    static const Value value;
    return value;
  }

  Value value_;
};

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
