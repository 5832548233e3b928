#include "config/secret.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace vitalsd::config {

std::expected<std::string, std::string> Secret::read() const {
  constexpr std::size_t kLargest = 64 * 1024;
  switch (source_) {
    case Source::none:
      return std::string();
    case Source::literal:
      return where_;
    case Source::environment: {
      const char* value = std::getenv(where_.c_str());  // NOLINT(concurrency-mt-unsafe): never set
      if (value == nullptr || *value == '\0') {
        return std::unexpected("environment variable " + where_ +
                               (value == nullptr ? " is not set" : " is empty"));
      }
      return std::string(value);
    }
    case Source::file:
      break;
  }
  std::ifstream in(where_, std::ios::binary);
  if (!in) return std::unexpected("cannot read " + where_ + ": " + std::strerror(errno));
  std::string value(kLargest + 1, '\0');
  in.read(value.data(), static_cast<std::streamsize>(value.size()));
  value.resize(static_cast<std::size_t>(in.gcount()));
  if (in.bad()) return std::unexpected("cannot read " + where_ + ": " + std::strerror(errno));
  if (value.size() > kLargest) return std::unexpected(where_ + " is larger than 64 KiB: no secret");
  if (value.ends_with('\n')) value.pop_back();
  if (value.ends_with('\r')) value.pop_back();
  if (value.empty()) return std::unexpected(where_ + " is empty");
  return value;
}

}  // namespace vitalsd::config
