#include "probes/net/certificate_expiry.hpp"

#include <chrono>

namespace vitalsd::net {

void check_expiry(Part& part, const CertificateInfo& certificate, const std::string& object) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  part.check(kExpiryCheck, certificate.not_after - now.count(), object,
             thresholds_of_lifetime(certificate.not_after - certificate.not_before));
}

const CertificateInfo& first_to_expire(const std::vector<CertificateInfo>& chain) {
  return *std::ranges::min_element(chain, {}, &CertificateInfo::not_after);
}

}  // namespace vitalsd::net
