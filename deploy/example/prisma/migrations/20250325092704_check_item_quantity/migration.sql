-- PostgreSQL has no ADD CONSTRAINT IF NOT EXISTS; this may run twice.
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT 1
        FROM pg_constraint
        WHERE conname = 'order_items_quantity_check'
          AND conrelid = '"order_items"'::regclass
    ) THEN
        ALTER TABLE "order_items"
            ADD CONSTRAINT "order_items_quantity_check" CHECK ("quantity" > 0);
    END IF;
END
$$;
