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

std::expected<std::string, std::string> read_file(const std::string& path) {
  constexpr std::size_t kMaxBytes = 64 * 1024;
  std::expected<std::string, std::string> value = read_small_file(path, kMaxBytes);
  if (!value) return std::unexpected("cannot read " + path + ": " + value.error());
  if (value->ends_with('\n')) value->pop_back();
  if (value->ends_with('\r')) value->pop_back();
  if (value->empty()) return std::unexpected(path + " is empty");
  return value;
}

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
    case Source::credential: {
      const char* const directory = variable("CREDENTIALS_DIRECTORY");
      if (directory == nullptr) {
        return std::unexpected(
            "cannot read credential " + text_ +
            ": CREDENTIALS_DIRECTORY is not set; systemd sets it for LoadCredential=");
      }
      return read_file(std::string(directory) + '/' + text_);
    }
    case Source::file:
      break;
  }
  return read_file(text_);
}

}  // namespace vitalsd::config
