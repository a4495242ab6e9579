-- AlterTable
ALTER TABLE "products" ADD COLUMN     "updated_at" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP;

-- AlterTable
ALTER TABLE "orders" ADD COLUMN     "updated_at" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP;

-- CreateFunction
CREATE FUNCTION "touch_updated_at"() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    -- Only real changes count; a no-op UPDATE keeps the old time.
    IF NEW IS DISTINCT FROM OLD THEN
        NEW."updated_at" := CURRENT_TIMESTAMP;
    END IF;
    RETURN NEW;
END;
$$;

-- CreateTrigger
CREATE TRIGGER "products_touch_updated_at" BEFORE UPDATE ON "products"
FOR EACH ROW EXECUTE FUNCTION "touch_updated_at"();

-- CreateTrigger
CREATE TRIGGER "orders_touch_updated_at" BEFORE UPDATE ON "orders"
FOR EACH ROW EXECUTE FUNCTION "touch_updated_at"();
