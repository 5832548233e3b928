// A password, token or key that cannot be printed: there is no way from Secret to text but read(),
// which goes to the source anew, so that a rotated file or a changed mount needs no reload.
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace vitalsd::config {

class Secret {
 public:
  Secret() = default;
  static Secret literal(std::string value) { return {Source::literal, std::move(value)}; }
  static Secret file(std::string path) { return {Source::file, std::move(path)}; }
  static Secret environment(std::string name) { return {Source::environment, std::move(name)}; }
  /// A file of this name in $CREDENTIALS_DIRECTORY, where systemd puts those of LoadCredential=.
  static Secret credential(std::string name) { return {Source::credential, std::move(name)}; }

  /// Whether the source is the same, and a literal's text.
  bool operator==(const Secret&) const = default;
  /// Whether a source was given at all.
  explicit operator bool() const { return source_ != Source::none; }

  /// The value now, without one trailing newline; or why it cannot be had (never the value).
  /// Reads a small local file where the source is one.
  [[nodiscard]] std::expected<std::string, std::string> read() const;

 private:
  enum class Source : unsigned char { none, literal, file, environment, credential };
  Secret(Source source, std::string where) : source_(source), where_(std::move(where)) {}

  Source source_ = Source::none;
  std::string where_;  // the value itself only for literals
};

}  // namespace vitalsd::config
