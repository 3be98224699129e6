export { parseImage, readImage } from "./read-image.ts";
