#include "config/secret.hpp"

#include "config/files/small_file.hpp"

#include <cstddef>
#include <cstdlib>

namespace vitalsd::config {

namespace {

// nullptr if the variable is not set.
const char* variable(const std::string& name) {
  return std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe): vitalsd sets none
}

constexpr std::size_t kMaxBytes = 64 * 1024;

const char* credentials_directory() { return variable("CREDENTIALS_DIRECTORY"); }

}  // namespace

std::expected<std::string, std::string> Secret::read() const {
  switch (source_) {
    case Source::none:
      return std::string();
    case Source::literal:
      return text_;
    case Source::environment: {
      const char* const value = variable(text_);
      if (value == nullptr || *value == '\0') {
        return std::unexpected("environment variable " + text_ +
                               (value == nullptr ? " is not set" : " is empty"));
      }
      return std::string(value);
    }
    case Source::credential:
      if (credentials_directory() != nullptr) break;
      return std::unexpected(
          "cannot read credential " + text_ +
          ": CREDENTIALS_DIRECTORY is not set; systemd sets it for LoadCredential=");
    case Source::file:
      break;
  }
  std::expected<std::string, std::string> content = read_small_file(path(), kMaxBytes);
  if (!content) return std::unexpected("cannot read " + path() + ": " + content.error());
  return value_in(path(), std::move(*content));
}

std::string Secret::path() const {
  if (source_ == Source::file) return text_;
  const char* const directory = source_ == Source::credential ? credentials_directory() : nullptr;
  return directory == nullptr ? "" : std::string(directory) + '/' + text_;
}

std::expected<std::string, std::string> Secret::value_in(const std::string& path,
                                                         std::string content) {
  if (content.size() > kMaxBytes) {
    return std::unexpected("cannot read " + path + ": larger than 64 KiB");
  }
  if (content.ends_with('\n')) content.pop_back();
  if (content.ends_with('\r')) content.pop_back();
  if (content.empty()) return std::unexpected(path + " is empty");
  return content;
}

}  // namespace vitalsd::config
