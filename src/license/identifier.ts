// What makers write where a serial number should be. Compared after normalization.
const placeholders = new Set(
  [
    "To be filled by O.E.M.",
    "Default string",
    "System Serial Number",
    "Base Board Serial Number",
    "Chassis Serial Number",
    "Board Serial Number",
    "Serial Number",
    "Not Specified",
    "Not Applicable",
    "Not Available",
    "Not Provided",
    "Not Settable",
    "Unknown",
    "None",
    "Null",
    "N/A",
    "OEM",
    "Empty",
    "Invalid",
    "INVALID UUID",
    "0123456789",
    "123456789",
    "1234567890",
    "12345678",
    "01234567890123456789012345678901",
    "overlayblk", // Firecracker's name for every root disk
    "QM00001", // QEMU's first disk, in every machine
    "QM00002",
    "QEMU HARDDISK",
    "03000200-0400-0500-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
    "01234567-89ab-cdef-0123-456789abcdef",
    "fefefefe-fefe-fefe-fefe-fefefefefefe",
  ].map(normalize),
);

const MIN_CHARACTERS = 4;
const MIN_DISTINCT = 3;

/**
 * The normalized form of a serial number or UUID, or undefined for one that many machines share: placeholders,
 * fewer than four characters, fewer than three different ones. Longer than 256 characters is nobody's serial.
 */
export function identifierFrom(raw: string | undefined): string | undefined {
  if (raw === undefined || raw.length > 256) return undefined;
  const value = normalize(raw);
  if (value.length < MIN_CHARACTERS || new Set(value).size < MIN_DISTINCT) return undefined;
  return placeholders.has(value) ? undefined : value;
}

// Addresses out of these ranges are made up by hypervisors: VMware, VirtualBox, Hyper-V, Xen, Parallels.
const virtualVendors = /^(000569|000c29|001c14|005056|080027|00155d|00163e|001c42)/;

/** The twelve digits of a network card's own address; undefined for one that software made up. */
export function macAddressFrom(raw: string | undefined): string | undefined {
  const digits = raw?.toLowerCase().replaceAll(/[:-]/g, "") ?? "";
  if (!/^[0-9a-f]{12}$/.test(digits) || virtualVendors.test(digits)) return undefined;
  // Bit 1: locally administered. Bit 0: a group address, which no card has.
  const isOwn = (Number.parseInt(digits.slice(0, 2), 16) & 0x03) === 0;
  return isOwn ? identifierFrom(digits) : undefined;
}

/** Firmware, kernel and tools write the same number with other separators and in other case. */
function normalize(raw: string): string {
  return raw
    .normalize("NFKC")
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]/gu, "");
}
