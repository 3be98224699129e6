/* For tests only: turns the loopback interface of a new network namespace on, as `ip link set lo up` does. */
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

int main(void) {
  struct ifreq lo;
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  memset(&lo, 0, sizeof lo);
  memcpy(lo.ifr_name, "lo", sizeof "lo");
  if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &lo) != 0) return perror("lo"), 1;
  lo.ifr_flags |= IFF_UP;
  if (ioctl(fd, SIOCSIFFLAGS, &lo) != 0) return perror("lo"), 1;
  return 0;
}
