-- New rows are checked from here on; this needs only a short lock.
ALTER TABLE "products" ADD CONSTRAINT "products_price_cents_check" CHECK ("price_cents" >= 0) NOT VALID;

-- Old rows are checked here, while reads and writes go on.
ALTER TABLE "products" VALIDATE CONSTRAINT "products_price_cents_check";
