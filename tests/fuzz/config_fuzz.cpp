// Configuration files with all kinds of probes.
#include "config/settings.hpp"
#include "daemon/build.hpp"
#include "probes/services.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <boost/asio/io_context.hpp>

using namespace vitalsd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static boost::asio::io_context loop;
  static ProbeServices services(loop, {});
  config::Document document("fuzz.yaml", text);
  build_jobs(document, services.environment);
  (void)document.problems().text();
  return 0;
}
