// A password, token or key that cannot be printed by mistake: only read() and value_in() return its
// text. The source is read at each use, so a rotated file or a changed mount needs no reload.
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
  /// A file of this name in $CREDENTIALS_DIRECTORY, where systemd stores the credentials of
  /// LoadCredential=.
  static Secret credential(std::string name) { return {Source::credential, std::move(name)}; }

  /// Compares sources: the path of the file, the name of the variable or of the credential; for
  /// literals, their text.
  bool operator==(const Secret&) const = default;
  /// Whether a source is set.
  explicit operator bool() const { return source_ != Source::none; }

  /// The current value without one trailing newline, or an error message, which never contains the
  /// value. Blocks if the source is a file: probes use net::ConfiguredFiles.
  [[nodiscard]] std::expected<std::string, std::string> read() const;

  /// The path if the source is a file, else empty.
  [[nodiscard]] std::string path() const;
  /// Converts the content of the file `path` to the value of a secret. Returns an error message if
  /// the content is not valid.
  static std::expected<std::string, std::string> value_in(const std::string& path,
                                                          std::string content);

 private:
  enum class Source : unsigned char { none, literal, file, environment, credential };
  Secret(Source source, std::string text) : source_(source), text_(std::move(text)) {}

  Source source_ = Source::none;
  std::string text_;  // path, variable or credential name; the value of a literal
};

}  // namespace vitalsd::config
