// Compact storage for objects that exist in large numbers: equal texts are stored once, and a field
// that is usually empty needs only a pointer.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <boost/flyweight.hpp>
#include <boost/flyweight/no_locking.hpp>

namespace vitalsd::kubernetes {

/// A text that many objects have in common, such as a name or a reason. Equal texts are stored
/// once. Probe loop only.
class SharedText {
 public:
  SharedText() : value_(empty()) {}
  explicit SharedText(std::string_view text)
      : value_(text.empty() ? empty() : Value(std::string(text))) {}

  [[nodiscard]] const std::string& get() const { return value_.get(); }
  bool operator==(const SharedText&) const = default;

 private:
  using Value = boost::flyweight<std::string, boost::flyweights::no_locking>;

  // The empty text is the most frequent one, so it is found without a lookup.
  static const Value& empty() {
    static const Value value;
    return value;
  }

  Value value_;
};

/// An optional value on the heap. The object itself has the size of a pointer. Copies are deep.
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

  /// Returns the value; creates a default one if there is none.
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
