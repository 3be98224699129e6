/**
 * Two blocks of 128 bytes with one MD5, published by Wang, Feng, Lai and Yu in "Collisions for Hash Functions MD4, MD5,
 * HAVAL-128 and RIPEMD" (Cryptology ePrint Archive, 2004/199). It stays the same with any common text behind them.
 */
export const md5Twin = Buffer.from(
  "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e488832571415a" +
    "085125e8f7cdc99fd91dbdf280373c5bd8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0" +
    "e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70",
  "hex",
);
export const otherMd5Twin = Buffer.from(md5Twin);
for (const index of [19, 45, 59, 83, 109, 123]) otherMd5Twin[index]! ^= 0x80;
